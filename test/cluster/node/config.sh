# The configuration files of the node's programs, written below $CLUSTER_DIR/etc.
# The comments say what differs from a default and why; both lists of addresses
# are IPv4 first, then IPv6 where there is any.
# shellcheck shell=bash disable=SC2154 # settings come from lib.sh

write_config() {
	local etc=$CLUSTER_DIR/etc pki=$CLUSTER_DIR/pki
	mkdir -p "$etc/cni"
	: >"$etc/resolv.conf" # no name server beyond the cluster's own
	containerd_config >"$etc/containerd.toml"
	cni_config >"$etc/cni/10-pods.conflist"
	kubelet_config >"$etc/kubelet.yaml"
	kube_proxy_config >"$etc/kube-proxy.yaml"
}

containerd_config() {
	cat <<-EOS
		version = 2
		root = "$CLUSTER_DIR/containerd"
		state = "$CLUSTER_DIR/run/containerd"
		[grpc]
		address = "$containerd_socket"
		[plugins."io.containerd.grpc.v1.cri"]
		sandbox_image = "localhost/pause:dev"
		netns_mounts_under_state_dir = true
		# Without CAP_SYS_RESOURCE a score can be raised but not lowered.
		restrict_oom_score_adj = true
		[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
		runtime_type = "io.containerd.runc.v2"
		[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
		Root = "$CLUSTER_DIR/run/runc"
		[plugins."io.containerd.grpc.v1.cri".cni]
		bin_dir = "$cni_bin"
		conf_dir = "$etc/cni"
	EOS
}

# Hairpin mode lets a pod reach itself through its own Service.
cni_config() {
	local ranges="[{\"subnet\": \"$pod_cidr\"}]" routes='{"dst": "0.0.0.0/0"}'
	if [ -n "$node_ip6" ]; then
		ranges+=", [{\"subnet\": \"$pod_cidr6\"}]"
		routes+=', {"dst": "::/0"}'
	fi
	cat <<-EOS
		{"cniVersion": "0.4.0", "name": "$CLUSTER_NETNS-pods", "plugins": [
		  {"type": "bridge", "bridge": "pods0", "isGateway": true, "hairpinMode": true,
		   "ipam": {"type": "host-local", "dataDir": "$CLUSTER_DIR/run/addresses",
		            "ranges": [$ranges], "routes": [$routes]}},
		  {"type": "portmap", "capabilities": {"portMappings": true}}]}
	EOS
}

kubelet_config() {
	cat <<-EOS
		apiVersion: kubelet.config.k8s.io/v1beta1
		kind: KubeletConfiguration
		containerRuntimeEndpoint: unix://$containerd_socket
		cgroupDriver: cgroupfs
		cgroupRoot: /$CLUSTER_NETNS
		failCgroupV1: false
		failSwapOn: false
		oomScoreAdj: 0
		authentication:
		  anonymous: {enabled: false}
		  x509: {clientCAFile: $pki/ca.crt}
		clusterDNS: [$dns_ip]
		clusterDomain: cluster.local
		resolvConf: $etc/resolv.conf
		podLogsDir: $CLUSTER_DIR/log/pods
		# A machine that runs tests may be nearly full; its images are not ours to collect.
		evictionHard: {memory.available: 100Mi, nodefs.available: 100Mi, imagefs.available: 100Mi}
		imageGCHighThresholdPercent: 100
		# Five minutes between two restarts, the default, no test can wait for.
		crashLoopBackOff: {maxContainerRestartPeriod: $CLUSTER_RESTART_BACKOFF}
	EOS
}

# The conntrack limits are sysctls that only the machine's own network has.
kube_proxy_config() {
	cat <<-EOS
		apiVersion: kubeproxy.config.k8s.io/v1alpha1
		kind: KubeProxyConfiguration
		mode: $CLUSTER_PROXY
		clientConnection: {kubeconfig: $pki/kube-proxy.kubeconfig}
		clusterCIDR: $pod_cidr${node_ip6:+,$pod_cidr6}
		hostnameOverride: node
		oomScoreAdj: 0
		conntrack: {maxPerCore: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
	EOS
}
