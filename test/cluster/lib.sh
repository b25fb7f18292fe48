# Settings and functions that the scripts beside this file share. Every setting
# can be given in the environment; README.md explains them.
# shellcheck shell=bash disable=SC2034 # settings are used by the scripts
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

cache=${GATEPOST_CACHE:-$HOME/.cache/gatepost}
: "${CLUSTER_NETNS:=gatepost}"
: "${CLUSTER_DIR:=/var/lib/$CLUSTER_NETNS-cluster}"
: "${CLUSTER_IPV6:=auto}"
: "${CLUSTER_PROXY:=iptables}"
: "${CLUSTER_RESTART_BACKOFF:=5s}"

node_ip=10.10.0.1 node_ip6=fd00:10:10::1
pod_cidr=10.244.0.0/24 pod_cidr6=fd00:10:244::/64
service_cidr=10.96.0.0/16 service_cidr6=fd00:10:96::/112
kubernetes_ip=10.96.0.1 # of the API server's own Service: the first of service_cidr
dns_ip=10.96.0.10
netns=/run/netns/$CLUSTER_NETNS
containerd_socket=$CLUSTER_DIR/run/containerd.sock
kubeconfig=$CLUSTER_DIR/pki/admin.kubeconfig

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

is_up() { [ -e "$CLUSTER_DIR/ready" ]; }

# cgroups: the node's root in every hierarchy: one with cgroup v2, several with v1.
cgroups() {
	local hierarchy
	if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
		echo "/sys/fs/cgroup/$CLUSTER_NETNS"
		return
	fi
	for hierarchy in /sys/fs/cgroup/*/; do
		[ ! -f "$hierarchy/cgroup.procs" ] || echo "$hierarchy$CLUSTER_NETNS"
	done
}

# tracking_cgroup: the root that every process of the node is below, pods included.
tracking_cgroup() {
	if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
		echo "/sys/fs/cgroup/$CLUSTER_NETNS"
	else
		echo "/sys/fs/cgroup/pids/$CLUSTER_NETNS"
	fi
}

# on_node COMMAND...: runs it on the node's network. Not by `ip netns exec`,
# which mounts another /sys, one without cgroups.
on_node() { nsenter --net="$netns" "$@"; }
