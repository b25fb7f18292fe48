# Settings and functions that the scripts beside this file share. Every setting
# can be given in the environment; README.md explains them.
# shellcheck shell=bash disable=SC2034 # settings are used by the scripts
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

cache=${GATEPOST_CACHE:-$HOME/.cache/gatepost}
: "${CLUSTER_NETNS:=gatepost}"
: "${CLUSTER_DIR:=/var/lib/$CLUSTER_NETNS-cluster}"

say() { echo "cluster: $*" >&2; }
die() {
	say "$@"
	exit 1
}

# lock FILE: waits until this script is the only one to hold FILE, until it ends.
# What the script leaves running must close descriptor 9.
lock() {
	mkdir -p "$(dirname "$1")"
	exec 9>"$1"
	flock 9
}

# content FILE...: a short name for what is in files and directories.
content() {
	(cd "$here" && find "$@" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum) | sha256sum | cut -c 1-16
}
