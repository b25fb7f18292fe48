package kube_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/cmd/gatepost/internal/kube"
)

// connect writes a kubeconfig for a server and reads it.
func connect(t *testing.T, server string) *kube.Cluster {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config")
	text := fmt.Sprintf("apiVersion: v1\nkind: Config\ncurrent-context: here\ncontexts: [{name: here, context: {cluster: here, user: me, namespace: agents}}]\n"+
		"clusters: [{name: here, cluster: {server: %q}}]\nusers: [{name: me, user: {token: x}}]\n", server)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cluster, err := (&kube.Flags{Kubeconfig: file}).Connect()
	if err != nil {
		t.Fatal(err)
	}
	if cluster.Namespace != "agents" {
		t.Errorf("the context's namespace is not taken: %q", cluster.Namespace)
	}
	return cluster
}

// answering is an API server that knows our kinds and answers everything else so.
func answering(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/apis/gatepost.dev/v1alpha1":
			_, _ = io.WriteString(w, `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"gatepost.dev/v1alpha1","resources":[{"name":"signingkeys","singularName":"signingkey","namespaced":true,"kind":"SigningKey","verbs":["get","list"]}]}`)
		case "/apis/gatepost.dev":
			_, _ = io.WriteString(w, `{"kind":"APIGroup","apiVersion":"v1","name":"gatepost.dev","versions":[{"groupVersion":"gatepost.dev/v1alpha1","version":"v1alpha1"}],"preferredVersion":{"groupVersion":"gatepost.dev/v1alpha1","version":"v1alpha1"}}`)
		case "/api", "/apis":
			_, _ = io.WriteString(w, `{"kind":"APIGroupList","apiVersion":"v1","groups":[{"name":"gatepost.dev","versions":[{"groupVersion":"gatepost.dev/v1alpha1","version":"v1alpha1"}],"preferredVersion":{"groupVersion":"gatepost.dev/v1alpha1","version":"v1alpha1"}}]}`)
		default:
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	status := func(code int, reason, message string) string {
		return fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","message":%q,"reason":%q,"details":{"group":"gatepost.dev","kind":"signingkeys"},"code":%d}`, message, reason, code)
	}
	for name, test := range map[string]struct {
		tls    bool
		status int
		body   string
		want   []string
	}{
		"a right is missing": {
			false, 403,
			status(403, "Forbidden", `signingkeys.gatepost.dev is forbidden: User "jane" cannot list resource "signingkeys" in API group "gatepost.dev" in the namespace "agents"`),
			[]string{`doing: the right is missing: User "jane" cannot list resource "signingkeys"`, `ask for the role "view"`},
		},
		"a right to write is missing": {
			false, 403,
			status(403, "Forbidden", `signingkeys.gatepost.dev is forbidden: User "jane" cannot patch resource "signingkeys" in API group "gatepost.dev" in the namespace "agents"`),
			[]string{`ask for the role "edit"`},
		},
		"the cluster's own rules refuse it": {
			false, 403, status(403, "Forbidden", "signingkeys.gatepost.dev is forbidden: a ValidatingAdmissionPolicy denied it"),
			[]string{"doing: signingkeys.gatepost.dev is forbidden: a ValidatingAdmissionPolicy denied it"},
		},
		"the cluster does not know you": {
			false, 401, status(401, "Unauthorized", "Unauthorized"),
			[]string{`doing: the cluster of context "here" does not know who you are: log in again`},
		},
		"the certificate is a stranger's": {
			true, 200, "{}", []string{`doing: the certificate of the cluster of context "here" is not one that the kubeconfig trusts`},
		},
		"anything else speaks for itself": {
			false, 500, status(500, "InternalError", "etcd is on fire"), []string{"doing: ", "etcd is on fire"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewUnstartedServer(answering(test.status, test.body))
			t.Cleanup(server.Close)
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			if test.tls {
				server.StartTLS()
			} else {
				server.Start()
			}
			err := connect(t, server.URL).List(t.Context(), &v1alpha1.SigningKeyList{}, "doing")
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got  %s\nwant %s", err, want)
				}
			}
		})
	}
}

// forwarder is an API server of the kind that forwards ports as SPDY alone: what
// is sent to a pod's port gets an answer, or the kubelet's complaint.
func forwarder(t *testing.T, answer, complaint string) http.Handler {
	t.Helper()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost { // WebSocket
			http.Error(w, "no", http.StatusBadRequest)
			return
		}
		if _, err := httpstream.Handshake(r, w, []string{"portforward.k8s.io"}); err != nil {
			t.Error(err)
			return
		}
		streams := make(chan httpstream.Stream, 2)
		connection := spdy.NewResponseUpgrader().UpgradeResponse(w, r, func(s httpstream.Stream, _ <-chan struct{}) error {
			streams <- s
			return nil
		})
		problems, data := <-streams, <-streams
		defer func() { <-connection.CloseChan() }()
		if port := data.Headers().Get(corev1.PortHeader); port != "19901" {
			t.Errorf("port %s", port)
		}
		asked, err := http.ReadRequest(bufio.NewReader(data))
		if err != nil || asked.Host != "localhost" {
			t.Errorf("request %+v, %v", asked, err)
		}
		_, _ = io.WriteString(problems, complaint)
		_ = problems.Close()
		if complaint == "" {
			_, _ = fmt.Fprintf(data, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n%s %s", answer, asked.URL)
		}
		_ = data.Close()
	})
}

func guardedPod(name string) corev1.Pod {
	always := corev1.ContainerRestartPolicyAlways
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "agents", Name: name},
		Spec: corev1.PodSpec{
			InitContainers: []corev1.Container{{Name: v1alpha1.ContainerName, RestartPolicy: &always}},
			Volumes: []corev1.Volume{{Name: v1alpha1.VolumeName, VolumeSource: corev1.VolumeSource{
				Secret: &corev1.SecretVolumeSource{SecretName: v1alpha1.BundleName("chat")},
			}}},
		},
	}
}

func TestPodsAreAsked(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		server http.Handler
		want   string
		err    string
	}{
		"a pod answers":         {forwarder(t, "hello", ""), "hello /decisions?id=x", ""},
		"nobody is at the port": {forwarder(t, "", "connection refused"), "", "connection refused; does its container gatepost run?"},
		"forwarding is not allowed": {
			answering(403, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"pods \"a\" is forbidden: User \"jane\" cannot create resource \"pods/portforward\" in API group \"\"","reason":"Forbidden","code":403}`),
			"", "pods/portforward",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(test.server)
			t.Cleanup(server.Close)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			answers := connect(t, server.URL).Ask(ctx, []corev1.Pod{guardedPod("a"), guardedPod("b")}, "/decisions?id=x")
			for i, pod := range []string{"a", "b"} {
				got := answers[i]
				if got.Pod != pod || (got.Err == nil) != (test.err == "") || got.Err != nil && !strings.Contains(got.Err.Error(), test.err) {
					t.Errorf("pod %s: %+v", pod, got)
				}
				if diff := cmp.Diff(test.want, string(got.Body)); diff != "" {
					t.Errorf("pod %s (-want +got):\n%s", pod, diff)
				}
			}
		})
	}
}

// A pod that never answers is given up with the context.
func TestAskingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	silent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			http.Error(w, "no", http.StatusBadRequest)
			return
		}
		if _, err := httpstream.Handshake(r, w, []string{"portforward.k8s.io"}); err == nil {
			connection := spdy.NewResponseUpgrader().UpgradeResponse(w, r, func(httpstream.Stream, <-chan struct{}) error { return nil })
			<-connection.CloseChan()
		}
	}))
	t.Cleanup(silent.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	ended := make(chan []kube.Answer, 1)
	cluster := connect(t, silent.URL)
	go func() { ended <- cluster.Ask(ctx, []corev1.Pod{guardedPod("a")}, "/") }()
	select {
	case answers := <-ended:
		if answers[0].Err == nil {
			t.Error("an answer out of nothing")
		}
	case <-time.After(20 * time.Second):
		t.Error("it does not end")
	}
}

func TestOnlyGuardsCount(t *testing.T) {
	t.Parallel()
	guarded, named := guardedPod("a"), guardedPod("b")
	named.Spec.InitContainers[0].RestartPolicy = nil
	if got := kube.BundleOf(&guarded); got != "chat.gatepost-bundle" {
		t.Errorf("got %q", got)
	}
	if got := kube.BundleOf(&named); got != "" {
		t.Errorf("a container that merely has the name counts: %q", got)
	}
}
