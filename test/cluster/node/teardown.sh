# Ends a node and leaves nothing of it. It asks nobody: all there is to lose is
# removed next. Whatever the node started is found by its cgroup, however it came
# to be orphaned, and nothing else is; its mounts were in a namespace of its own
# and end with the last of its processes.
# shellcheck shell=bash

# processes: the pids in the node's cgroups.
processes() {
	find "$(tracking_cgroup)" -name cgroup.procs -exec cat {} + 2>/dev/null || true
}

# end_processes: again and again, since a program may start another meanwhile.
end_processes() {
	local pids
	for _ in {1..200}; do
		mapfile -t pids < <(processes)
		((${#pids[@]})) || return 0
		kill -9 "${pids[@]}" 2>/dev/null || true
		sleep 0.05
	done
	die "processes survive kill -9: ${pids[*]}"
}

# remove_cgroups: a cgroup stays busy for a moment after its last process.
remove_cgroups() {
	local root
	for root in $(cgroups); do
		for _ in {1..100}; do
			[ -d "$root" ] || break
			find "$root" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.05
		done
		[ ! -d "$root" ] || die "cgroup $root is still in use"
	done
}

remove_network() {
	local visitors
	[ -e "$netns" ] || return 0
	visitors=$(ip netns pids "$CLUSTER_NETNS" | tr '\n' ' ')
	[ -z "$visitors" ] || say "these are not ours, and keep the node's network until they end: $visitors"
	ip netns delete "$CLUSTER_NETNS"
}

tear_down() {
	end_processes
	remove_cgroups
	remove_network
	# Only a directory that `up` made: it puts this file there first.
	[ ! -e "$CLUSTER_DIR/of-gatepost" ] || rm -rf "$CLUSTER_DIR"
}
