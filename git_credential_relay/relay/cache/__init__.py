"""Where tokens are kept between two calls: an interface and one module per place."""
