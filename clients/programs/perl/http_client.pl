# Gets a page for 5 s: with a new HTTP::Tiny each time (each) or with one (kept).
use strict;
use warnings;
use HTTP::Tiny;
use Time::HiRes qw(time sleep);

my $mode = shift;
my $kept = HTTP::Tiny->new;
my $end  = time + 5;
while ( time < $end ) {
    my $client = $mode eq 'kept' ? $kept : HTTP::Tiny->new;
    my $answer = $client->get('http://127.0.0.1/page.html');
    die "$answer->{status} $answer->{content}" unless $answer->{success};
    sleep 0.03;
}
