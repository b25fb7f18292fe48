package sidecar

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatepost.dev/gatepost/policy"
)

// heavyClaims are claims that take much more memory than text; each is made of
// about so many bytes.
var heavyClaims = map[string]func(bytes int) map[string]any{
	"numbers":          listOf("0"),
	"strings":          listOf(`"\n\t"`),
	"empty lists":      listOf("[]"),
	"lists of one":     listOf("[0]"),
	"lists of five":    listOf("[0,0,0,0,0]"),
	"nested lists":     listOf(strings.Repeat("[", 29) + strings.Repeat("]", 29)),
	"empty objects":    listOf("{}"),
	"objects of one":   listOf(`{"":0}`),
	"objects of nine":  listOf(`{"1":0,"2":0,"3":0,"4":0,"5":0,"6":0,"7":0,"8":0,"9":0}`),
	"nested objects":   listOf(strings.Repeat(`{"":`, 29) + "0" + strings.Repeat("}", 29)),
	"names":            names,
	"colons in a text": func(bytes int) map[string]any { return map[string]any{"x": strings.Repeat(":", bytes)} },
	"letters that become three in a header": func(bytes int) map[string]any {
		return map[string]any{"name": strings.Repeat("é", bytes/2), "email": "é"}
	},
	"roles that are written anew": func(bytes int) map[string]any {
		return map[string]any{"roles": listOf(`{"é":0}`)(bytes)["x"]}
	},
}

func listOf(item string) func(int) map[string]any {
	return func(bytes int) map[string]any {
		items := strings.Repeat(item+",", max(1, bytes/(len(item)+1)))
		return map[string]any{"x": json.RawMessage("[" + strings.TrimSuffix(items, ",") + "]")}
	}
}

func names(bytes int) map[string]any {
	claims := map[string]any{}
	for i := range bytes / len(`"123":0,`) {
		claims[strconv.Itoa(100+i)] = 0
	}
	return claims
}

// Whatever valid tokens are made of, what is remembered of them is bounded in
// bytes, and takes no more than it is taken to.
func TestRecallIsBoundedInBytes(t *testing.T) {
	const bound, room = 16 << 20, 1 << 20
	g, worst := start(t, setup{}), 0
	for name, claims := range heavyClaims {
		in := g.fresh()
		before := heap()
		for _, bytes := range []int{100, 1000, 11_000} {
			g.flood(in, 300, claims(bytes))
			grown := heap() - before
			worst = max(worst, grown)
			if used := in.recall.memory.Load().used.Load(); int64(grown) > used+room/2 {
				t.Errorf("%s of %d bytes: %d bytes are held, but only %d are counted", name, bytes, grown, used)
			}
			if grown > bound+room {
				t.Errorf("%s: %d bytes are held, more than %d", name, grown, bound)
			}
		}
		runtime.KeepAlive(in)
	}
	fmt.Printf("figure: recall_memory_worst %.1f MB\n", float64(worst)/1e6)
}

// Ordinary tokens have room, as many as there are places for.
func TestRecallHasRoomForOrdinaryTokens(t *testing.T) {
	g, now, made := start(t, setup{}), time.Now(), map[string]any{"iat": time.Now().Unix()}
	const tokens = 4096
	for i := range 12 {
		made["claim"+strconv.Itoa(i)] = strings.Repeat("v", 30)
	}
	texts := make([]string, tokens)
	for i := range texts {
		made["sub"] = "8f14e45f-ceea-467f-a8d1-" + strconv.Itoa(i)
		texts[i] = mint(t, made)
		g.ask(texts[i], now)
	}
	memory, recalled := g.sidecar.current.Load().recall.memory.Load(), 0
	for _, text := range texts {
		if memory.find(sumOf(bearer(text)), now) != nil {
			recalled++
		}
	}
	t.Logf("%d of %d tokens of %d bytes are recalled, %d bytes each", recalled, tokens, len(texts[0]), int(memory.used.Load())/max(1, recalled))
	if made := memory.hand.Load(); made > 0 || recalled < tokens*3/4 {
		t.Errorf("%d of %d tokens are recalled, room had to be made %d times", recalled, tokens, made)
	}
}

// fresh is the site in force with nothing remembered.
func (g *guarded) fresh() *site {
	g.t.Helper()
	in, err := newSite(g.sidecar.current.Load().Snapshot, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	return in
}

// flood lets in judge so many different tokens with these claims.
func (g *guarded) flood(in *site, tokens int, claims map[string]any) {
	g.t.Helper()
	for i := range tokens {
		claims["sub"] = "u-" + strconv.Itoa(i)
		if got := in.judge(g.t.Context(), asking(mint(g.t, claims)), time.Now()); got.outcome.Reason != policy.OK {
			g.t.Fatalf("a token is good for nothing: %s", got.outcome.Reason)
		}
	}
}

// heap is how many bytes are in use.
func heap() int {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC() // pools keep what they have through one
	runtime.ReadMemStats(&stats)
	return int(stats.HeapAlloc)
}

// Streams may hold a site for hours after a reload, but not what it remembered.
func TestReplacedSitesRememberNothing(t *testing.T) {
	g := start(t, setup{})
	old := g.sidecar.current.Load()
	before := heap()
	g.flood(old, 500, listOf("0")(1000))
	if grown := heap() - before; grown < 1<<20 {
		t.Fatalf("%d bytes are held: nothing is remembered", grown)
	}
	g.write("policy.yaml", testPolicy+"# another\n")
	await(t, "the change is in force", func() bool { return g.sidecar.current.Load() != old })
	await(t, "the memory is free", func() bool { return heap()-before < 1<<20 })
	if got := old.judge(t.Context(), asking(teacher(t)), time.Now()); got.outcome.Reason != policy.OK {
		t.Errorf("a request that the old site judges: %s", got.outcome.Reason)
	}
}
