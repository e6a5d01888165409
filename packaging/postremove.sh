#!/bin/sh
# After removal. Captures and the user stay until a purge (.deb); .rpm knows none, so that there both stay.
set -e

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi

if [ "${1:-}" = purge ]; then
	rm -rf /var/lib/tcpstate /etc/systemd/system/tcpstate.service.d
	rm -f /etc/systemd/system/multi-user.target.wants/tcpstate.service
	[ ! -d /etc/tcpstate ] || rmdir --ignore-fail-on-non-empty /etc/tcpstate
	if getent passwd tcpstate >/dev/null && command -v userdel >/dev/null; then
		userdel tcpstate # and the group of that name
	fi
fi
