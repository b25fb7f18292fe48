// Package fleet plays everything around a controller that a real control plane
// lacks: kubelets that mount bundles, sidecars that judge tokens and answer
// `/state`, and back ends that sign with the exported Secret. Thousands of pods
// fit in one process, so that tests can run the real controller against a fleet
// of any size, with every fault that a fleet has.
//
//	f, err := fleet.New(ctx, fleet.Options{Config: c.Config, Namespace: ns})
//	pods, err := f.Add(ctx, "chat", 10)             // running under policy chat, app=chat
//	signer, err := f.Signer(ctx, "tokens-export", "HS256", fleet.Span{Max: time.Second})
//	go f.Send(ctx, fleet.Traffic{Signer: signer, Policy: "chat"})
//	pods[3].Silence(true)                           // and Hold, Lie, Late, Restart, Remove
//	...
//	counts := f.Counts()                            // counts.Refused must be 0
//
// What is played and what is real: pods are objects of the API server, with
// addresses in 127.0.0.0/8 on which `/state` really listens; status is written
// as a kubelet would. A mount gets what the bundle Secret holds 0.1 to 1 s after
// the pod was annotated, or 7 to 80 s without (test/cluster/README.md). What a
// mount holds is loaded by internal/bundle and tokens are judged by its
// token.Verifier, so that accepted and refused mean what they mean in a sidecar.
// All pods with one edition of a bundle share its Snapshot.
//
// The Fleet watches what it must never see, whoever causes it: a valid token
// that a serving verifier refuses; a token of a removed key that a verifier
// accepts although it has acknowledged the removal; two active keys; a
// generation that goes down. Counts has the numbers and the first few of each in
// words.
package fleet
