package stage

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// agentPort is where the example agent listens, on 127.0.0.1.
const agentPort = 8000

// way is one address at which somebody might try to reach the agent.
type way struct {
	what     string
	host     string
	port     int32
	required bool // the guard answers there; elsewhere nobody may answer at all
	podOnly  bool // only a pod on the same network can use the address
}

// NoWayRound tries every address of the agent's from a pod of another namespace
// and from a node, without a token: it is the guard that answers, or nobody.
func (a *Agent) NoWayRound(ctx context.Context) ([]Finding, error) {
	pods, err := a.Pods(ctx, client.MatchingLabels{"app": AgentName})
	if err != nil {
		return nil, err
	}
	var findings []Finding
	var ways []way
	for _, pod := range pods {
		sockets, err := a.listening(ctx, pod)
		if err != nil {
			return nil, err
		}
		findings = append(findings, judgeListening(pod.Name, sockets))
		local, err := a.linkLocal(ctx, pod)
		if err != nil {
			return nil, err
		}
		ways = append(ways, podWays(pod, local)...)
	}
	public, err := a.publicWays(ctx)
	if err != nil {
		return nil, err
	}
	ways = append(ways, public...)
	for _, w := range ways {
		findings = append(findings, w.try(ctx, "another pod", a.Pod))
		if !w.podOnly {
			findings = append(findings, w.try(ctx, "the node", a.Node))
		}
	}
	return findings, nil
}

func podWays(pod corev1.Pod, linkLocal []string) []way {
	var ways []way
	for _, ip := range pod.Status.PodIPs {
		ways = append(ways, way{what: family(ip.IP) + " of the pod", host: ip.IP, port: agentPort, required: true})
	}
	for _, ip := range linkLocal {
		ways = append(ways, way{what: "link-local IPv6 of the pod", host: ip + "%eth0", port: agentPort, podOnly: true})
	}
	return ways
}

// publicWays are the addresses of the Service, its NodePort on every node, and
// the agent's port on the nodes themselves.
func (a *Agent) publicWays(ctx context.Context) ([]way, error) {
	var service corev1.Service
	if err := a.API.Get(ctx, client.ObjectKey{Namespace: a.Namespace, Name: AgentName}, &service); err != nil {
		return nil, fmt.Errorf("reading the agent's Service: %w", err)
	}
	var nodes corev1.NodeList
	if err := a.API.List(ctx, &nodes); err != nil {
		return nil, fmt.Errorf("listing nodes: %w", err)
	}
	port := service.Spec.Ports[0]
	var ways []way
	for _, ip := range service.Spec.ClusterIPs {
		ways = append(ways, way{what: family(ip) + " of the Service", host: ip, port: port.Port, required: true})
	}
	for _, node := range nodes.Items {
		for _, address := range node.Status.Addresses {
			if address.Type != corev1.NodeInternalIP {
				continue
			}
			sameFamily := len(service.Spec.IPFamilies) > 1 || family(address.Address) == string(service.Spec.IPFamilies[0])
			ways = append(ways,
				way{what: "NodePort by " + family(address.Address), host: address.Address, port: port.NodePort, required: sameFamily},
				way{what: "the agent's port on the node", host: address.Address, port: agentPort})
		}
	}
	return ways, nil
}

func family(ip string) string {
	if parsed := net.ParseIP(ip); parsed != nil && parsed.To4() == nil {
		return string(corev1.IPv6Protocol)
	}
	return string(corev1.IPv4Protocol)
}

func (w way) try(ctx context.Context, from string, client *http.Client) Finding {
	address := net.JoinHostPort(w.host, strconv.Itoa(int(w.port)))
	what := fmt.Sprintf("from %s: %s, %s", from, w.what, address)
	target := url.URL{Scheme: "http", Host: address, Path: "/agent"}
	got, err := ask(ctx, client, http.MethodPost, target.String(), nil, hello)
	if outer := (*url.Error)(nil); errors.As(err, &outer) {
		err = outer.Err
	}
	if err != nil {
		return found(!w.required, what, "no answer: "+err.Error())
	}
	return found(got.byGuard() && got.status == http.StatusUnauthorized, what, strconv.Itoa(got.status)+" by the guard")
}

// listening returns the sockets that listen in a pod.
func (a *Agent) listening(ctx context.Context, pod corev1.Pod) ([]socket, error) {
	var all []socket
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := a.Kubectl(ctx, "-n", a.Namespace, "exec", pod.Name, "-c", "agent", "--", "cat", table)
		if err != nil {
			return nil, fmt.Errorf("looking for open ports: %w", err)
		}
		sockets, err := parseListening(text)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", table, err)
		}
		all = append(all, sockets...)
	}
	return all, nil
}

// linkLocal returns the link-local IPv6 addresses of a pod.
func (a *Agent) linkLocal(ctx context.Context, pod corev1.Pod) ([]string, error) {
	text, err := a.Kubectl(ctx, "-n", a.Namespace, "exec", pod.Name, "-c", "agent", "--", "cat", "/proc/net/if_inet6")
	if err != nil {
		return nil, nil //nolint:nilerr // no such file: the kernel has no IPv6
	}
	return parseLinkLocal(text)
}

// judgeListening: whatever listens beyond loopback is the sidecar's.
func judgeListening(pod string, sockets []socket) Finding {
	var open, foreign int
	for _, s := range sockets {
		if s.address.Addr().IsLoopback() {
			continue
		}
		open++
		if s.uid != v1alpha1.SidecarUID {
			foreign++
		}
	}
	return found(open > 0 && foreign == 0, "listening sockets of pod "+pod+" beyond loopback",
		fmt.Sprintf("%d, %d of them not the sidecar's", open, foreign))
}
