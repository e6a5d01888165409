#!/bin/sh
# After installation and upgrade, as .deb (configure [OLD VERSION]) and .rpm (1 or 2). Works without systemd, too.
set -e

case ${1:-configure} in
configure | [0-9]*) ;;
*) exit 0 ;; # abort-upgrade and the like: nothing was undone
esac

# The user that the service runs as.
if ! getent passwd tcpstate >/dev/null; then
	if command -v systemd-sysusers >/dev/null; then
		systemd-sysusers tcpstate.conf
	else
		group=--user-group
		! getent group tcpstate >/dev/null || group='--gid tcpstate' # somebody made it before
		# shellcheck disable=SC2086
		useradd --system $group --no-create-home --home-dir /var/lib/tcpstate \
			--shell /usr/sbin/nologin --comment 'TCP connection watcher' tcpstate
	fi
fi

# The folder for captures.
if command -v systemd-tmpfiles >/dev/null; then
	systemd-tmpfiles --create tcpstate.conf
else
	install -d -m 0750 -o tcpstate -g tcpstate /var/lib/tcpstate
fi

# Not started by installing it: tracing a host is its owner's decision. What runs already goes on with the new version.
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
	systemctl try-restart tcpstate.service || echo 'tcpstate.service did not come up again: see systemctl status tcpstate' >&2
fi
