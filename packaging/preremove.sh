#!/bin/sh
# Before removal (.deb: remove, .rpm: 0), not before an upgrade.
set -e

case ${1:-remove} in
remove | 0) ;;
*) exit 0 ;;
esac

if [ -d /run/systemd/system ]; then
	systemctl --no-reload disable --now tcpstate.service || echo 'tcpstate.service could not be stopped' >&2
fi
