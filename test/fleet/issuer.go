package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/internal/issuing"
)

// IssuerPod is one pod that the Deployment of a TokenIssuer made: its kubelet's
// part, what it signs with, and `/state`.
type IssuerPod struct {
	Name string
	UID  types.UID
	// Signer makes tokens with the key that the pod has in force, for Traffic.
	Signer *Signer

	fleet    *Fleet
	bundle   string // the Secret's name
	listener net.Listener
	server   *http.Server

	mu      sync.Mutex
	inForce *issuing.Snapshot // nil: it answers nobody
	minimum int64
	told    int64
	held    bool
	silent  bool
}

// issuerLook is how often the pods of an issuer are looked for.
const issuerLook = 100 * time.Millisecond

// Issuers plays the pods of a TokenIssuer, and those that come for them, until the
// Fleet is closed. It returns when count of them serve. Each listens on the admin
// port of a loopback address of its own.
func (f *Fleet) Issuers(ctx context.Context, name string, count int) ([]*IssuerPod, error) {
	played := map[types.UID]*IssuerPod{}
	first := make(chan []*IssuerPod, 1)
	go func() {
		tick := time.NewTicker(issuerLook)
		defer tick.Stop()
		for told := false; ; {
			pods := f.lookAfterIssuers(name, played)
			if len(pods) >= count && !told {
				first <- pods
				told = true
			}
			select {
			case <-tick.C:
			case <-f.ctx.Done():
				for _, pod := range played {
					_ = pod.server.Close()
				}
				return
			}
		}
	}()
	select {
	case pods := <-first:
		return pods, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for %d pods of issuer %s: %w", count, name, ctx.Err())
	}
}

// lookAfterIssuers starts and ends what is played, and returns the pods that serve.
func (f *Fleet) lookAfterIssuers(name string, played map[types.UID]*IssuerPod) []*IssuerPod {
	var pods corev1.PodList
	err := f.api.List(f.ctx, &pods, client.InNamespace(f.options.Namespace), client.MatchingLabels{
		v1alpha1.LabelComponent: v1alpha1.ComponentIssuer, "app.kubernetes.io/instance": name,
	})
	if err != nil {
		return nil
	}
	there := map[types.UID]bool{}
	var serving []*IssuerPod
	for i := range pods.Items {
		object := &pods.Items[i]
		if object.DeletionTimestamp != nil {
			continue
		}
		there[object.UID] = true
		pod := played[object.UID]
		if pod == nil {
			if pod, err = f.startIssuer(name, object); err != nil {
				continue
			}
			played[object.UID] = pod
		}
		pod.hears(object)
		if pod.serves() {
			serving = append(serving, pod)
		}
	}
	for uid, pod := range played {
		if !there[uid] {
			_ = pod.server.Close()
			delete(played, uid)
		}
	}
	return serving
}

// startIssuer gives a pod an address and starts its container.
func (f *Fleet) startIssuer(name string, object *corev1.Pod) (*IssuerPod, error) {
	pod := &IssuerPod{
		Name: object.Name, UID: object.UID, fleet: f, bundle: v1alpha1.IssuerName(name),
		Signer: &Signer{fleet: f}, minimum: toldIn(object),
	}
	var err error
	for range 50 { // nobody else has chosen the same
		number := rand.IntN(1 << 21) //nolint:gosec // an address needs no secrecy
		at := netip.AddrFrom4([4]byte{127, byte(16 + number>>16&31), byte(number >> 8 & 255), byte(number & 255)})
		pod.listener, err = (&net.ListenConfig{}).Listen(f.ctx, "tcp", netip.AddrPortFrom(at, v1alpha1.AdminPort).String())
		if err == nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /state", pod.serveState)
	pod.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	pod.deliver()
	go func() { _ = pod.server.Serve(pod.listener) }() // ends with the server
	return pod, pod.report()
}

func toldIn(object *corev1.Pod) int64 {
	revision, _ := strconv.ParseInt(object.Annotations[v1alpha1.AnnotationBundleRevision], 10, 64) // none is zero
	return revision
}

// hears notices what the pod was told, whose kubelet then refreshes the mount.
func (p *IssuerPod) hears(object *corev1.Pod) {
	revision := toldIn(object)
	p.mu.Lock()
	news := revision != p.told
	p.told = revision
	p.mu.Unlock()
	if news {
		p.fleet.after(p.fleet.pick(p.fleet.options.Told), p.deliver)
	}
}

// deliver brings the bundle into the mount, and the issuer loads it.
func (p *IssuerPod) deliver() {
	var secret corev1.Secret
	if err := p.fleet.api.Get(p.fleet.ctx, client.ObjectKey{Namespace: p.fleet.options.Namespace, Name: p.bundle}, &secret); err != nil {
		return // as a kubelet, which tries again when it is told
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.held {
		p.load(secret.Data)
	}
}

// load does what an issuer does with its mount. p.mu is held.
func (p *IssuerPod) load(data map[string][]byte) {
	options := bundle.Options{MinRevision: p.minimum, Now: time.Now()}
	if p.inForce != nil {
		options.InForce = p.inForce.Facts
	}
	next, err := issuing.Load(issuing.Files(data), options)
	if err != nil {
		if !errors.Is(err, bundle.ErrOlderRevision) {
			p.fleet.ledger.violate("issuer "+p.Name, "the controller wrote what an issuer refuses: "+err.Error())
		}
		return
	}
	p.inForce = next
	p.Signer.become(next.Signer)
}

// become signs with an issuer's key from now on.
func (s *Signer) become(of issuing.Signer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.SigningKey = of.SigningKey
	if of.Key.KID == s.inUse.KID {
		return
	}
	if s.inUse.KID != "" {
		s.former = append(s.former, s.inUse)
		s.former = s.former[max(0, len(s.former)-formerKeys):]
	}
	s.inUse = of.Key
}

func (p *IssuerPod) serves() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.inForce != nil
}

// Hold keeps new bundles out of the mount, or lets the latest in.
func (p *IssuerPod) Hold(held bool) {
	p.mu.Lock()
	p.held = held
	p.mu.Unlock()
	if !held {
		p.deliver()
	}
}

// Silence has `/state` hang up, or answer again.
func (p *IssuerPod) Silence(silent bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = silent
}

// Revision is that of the bundle in force; zero: there is none.
func (p *IssuerPod) Revision() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.inForce == nil {
		return 0
	}
	return p.inForce.Revision
}

// serveState answers as the issuer does.
func (p *IssuerPod) serveState(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	in, silent := p.inForce, p.silent
	p.mu.Unlock()
	if silent {
		panic(http.ErrAbortHandler) // hangs up without an answer
	}
	if in == nil {
		http.Error(w, "not loaded", http.StatusServiceUnavailable)
		return
	}
	state := bundle.State{
		PodUID: string(p.UID), Revision: in.Revision, Generations: in.Generations, LastAccepted: map[string]time.Time{},
		KIDs: in.KIDs, Revoked: in.Revoked,
	}
	if in.Signer.CanSign() {
		state.Signs = map[string]string{in.Signer.SigningKey: in.Signer.Key.KID}
	}
	if err := state.Sign(in.AckKey, r.URL.Query().Get("nonce")); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(state)
}

// report writes the pod's status as its kubelet would.
func (p *IssuerPod) report() error {
	address, err := netip.ParseAddrPort(p.listener.Addr().String())
	if err != nil {
		return err
	}
	ip, running := address.Addr().String(), true
	patch, err := json.Marshal(map[string]any{"status": corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}},
		Conditions: []corev1.PodCondition{
			{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()},
			{Type: corev1.ContainersReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()},
		},
		ContainerStatuses: []corev1.ContainerStatus{{
			Name: v1alpha1.IssuerContainerName, Image: "issuer", ImageID: "none", Ready: true, Started: &running,
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}},
		}},
	}})
	if err != nil {
		return err
	}
	object := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: p.fleet.options.Namespace, Name: p.Name}}
	if err := p.fleet.api.Status().Patch(p.fleet.ctx, object, client.RawPatch(types.StrategicMergePatchType, patch)); err != nil {
		return fmt.Errorf("writing the status of pod %s: %w", p.Name, err)
	}
	return nil
}
