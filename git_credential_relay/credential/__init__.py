"""Git's credential format and the rules of what may be answered to whom. Pure: no I/O."""
