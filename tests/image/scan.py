"""Looking for a secret in all that a user of a container can read, with the perl that git needs."""

from __future__ import annotations

from tests.image.engine import Engine

# The secret comes backwards: what looks for it must not be where it is found.
_SCAN = r"""
use File::Find;
my $needle = reverse shift;
my $files = 0;
sub look {
    my ($name, $data) = @_;
    $files++;
    print "$name\n" if index($data, $needle) >= 0;
}
sub slurp {
    my ($name) = @_;
    open(my $in, '<:raw', $name) or return;
    local $/;
    my $data = <$in>;
    look($name, $data) if defined $data;
}
sub memory {
    my ($pid) = @_;
    open(my $maps, '<', "/proc/$pid/maps") or return;
    open(my $mem, '<:raw', "/proc/$pid/mem") or return;
    for (<$maps>) {
        next unless /^([0-9a-f]+)-([0-9a-f]+) r/;
        no warnings 'portable';
        my ($from, $to) = (hex $1, hex $2);
        next if $to - $from > 64 * 1024 * 1024 or $from > 0x7fffffffffff;
        sysseek($mem, $from, 0) and defined sysread($mem, my $data, $to - $from) or next;
        look("/proc/$pid/mem", $data);
    }
}
sub process {
    my ($pid) = @_;
    slurp("/proc/$pid/$_") for qw(environ cmdline);
    memory($pid);
}
find({ no_chdir => 1, wanted => sub {
    if (m{^/(proc|sys|dev/(?!shm))}) { $File::Find::prune = -d $_; return }
    slurp($_) if -f $_;
} }, '/');
process($_) for grep { $_ ne $$ } map { m{(\d+)} } glob '/proc/[0-9]*';
print "$files\n";
"""


def readable_places_of(
    engine: Engine, container: str, secret: str, *, user: str = "1000"
) -> list[str]:
    """Where `user` can read `secret`: files, environments, arguments and memories of processes."""
    done = engine.execute(
        container, "perl", "-e", _SCAN, secret[::-1], flags=(f"--user={user}", "--env=PATH=/bin")
    )
    assert (done.exit_code, done.stderr) == (0, ""), done.stderr
    *places, files = done.lines
    assert int(files) > 1000
    return sorted(set(places))
