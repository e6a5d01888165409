#!/bin/sh
# After removal. Captures and the user stay until a purge (.deb); .rpm knows none, so that there both stay.
set -e

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
fi

if [ "${1:-}" = purge ]; then
	rm -rf /etc/systemd/system/tcpstate.service.d
	rm -f /etc/systemd/system/multi-user.target.wants/tcpstate.service
	[ ! -d /etc/tcpstate ] || rmdir --ignore-fail-on-non-empty /etc/tcpstate
	rm -rf /var/lib/tcpstate || true # a disk of its own is emptied, and stays
	if getent passwd tcpstate >/dev/null && command -v userdel >/dev/null; then
		userdel tcpstate || echo 'the user tcpstate stays' >&2 # and the group of that name; it stays while it runs something
	fi
fi
