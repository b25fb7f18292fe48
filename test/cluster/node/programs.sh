# How each of the node's programs is started.
# shellcheck shell=bash disable=SC2154 # settings come from lib.sh

# start NAME ARG...: runs the program in the background, in a session of its own.
start() {
	local name=$1
	setsid "$@" </dev/null >"$CLUSTER_DIR/log/$name.log" 2>&1 9>&- &
	started[$name]=$!
}

start_etcd() {
	start etcd --data-dir "$CLUSTER_DIR/etcd" --unsafe-no-fsync --log-level warn
}

start_containerd() {
	start containerd --config "$CLUSTER_DIR/etc/containerd.toml"
}

# The API server would look up the node's name to reach the kubelet; the address
# type spares us a name server on the node.
start_apiserver() {
	local pki=$CLUSTER_DIR/pki
	start kube-apiserver --etcd-servers=http://127.0.0.1:2379 \
		--advertise-address="$node_ip" --secure-port=6443 \
		--service-cluster-ip-range="$service_cidr${node_ip6:+,$service_cidr6}" \
		--tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
		--client-ca-file="$pki/ca.crt" --authorization-mode=Node,RBAC \
		--enable-admission-plugins=NodeRestriction --allow-privileged \
		--service-account-key-file="$pki/service-accounts.key" \
		--service-account-signing-key-file="$pki/service-accounts.key" \
		--service-account-issuer=https://kubernetes.default.svc.cluster.local \
		--kubelet-preferred-address-types=InternalIP \
		--kubelet-client-certificate="$pki/apiserver-kubelet.crt" \
		--kubelet-client-key="$pki/apiserver-kubelet.key"
}

# The controllers' own limit, 20 requests a second, would cost 5 s at the start.
start_controllers() {
	local pki=$CLUSTER_DIR/pki
	start kube-controller-manager --kubeconfig="$pki/controller-manager.kubeconfig" \
		--leader-elect=false --use-service-account-credentials --kube-api-qps=500 --kube-api-burst=1000 \
		--service-account-private-key-file="$pki/service-accounts.key" --root-ca-file="$pki/ca.crt"
}

start_scheduler() {
	start kube-scheduler --kubeconfig="$CLUSTER_DIR/pki/scheduler.kubeconfig" --leader-elect=false
}

start_proxy() {
	start kube-proxy --config="$CLUSTER_DIR/etc/kube-proxy.yaml"
}

start_kubelet() {
	start kubelet --config="$CLUSTER_DIR/etc/kubelet.yaml" --kubeconfig="$CLUSTER_DIR/pki/kubelet.kubeconfig" \
		--root-dir="$CLUSTER_DIR/kubelet" --cert-dir="$CLUSTER_DIR/run/kubelet-certs" \
		--hostname-override=node --node-ip="$node_ip${node_ip6:+,$node_ip6}"
}
