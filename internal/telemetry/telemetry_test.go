package telemetry

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestLoggerWritesOneJSONRecordPerLine(t *testing.T) {
	var out bytes.Buffer
	logger, err := NewLogger(&out, "")
	if err != nil {
		t.Fatal(err)
	}
	logger.Debug("below the level")
	logger.Info("request", "target", "/a\r\nforged: line")
	var record map[string]any
	if err := json.Unmarshal(out.Bytes(), &record); err != nil || strings.Count(out.String(), "\n") != 1 {
		t.Fatalf("not one record: %v\n%s", err, &out)
	}
	if record["target"] != "/a\r\nforged: line" || record["msg"] != "request" {
		t.Errorf("record %v", record)
	}
}

func TestLoggerRefusesAnUnknownLevel(t *testing.T) {
	if _, err := NewLogger(&bytes.Buffer{}, "loud"); err == nil || !strings.Contains(err.Error(), "loud") {
		t.Errorf("level loud: %v", err)
	}
}

func TestBridgeKeepsLibrariesOnOneLine(t *testing.T) {
	var out bytes.Buffer
	logger, err := NewLogger(&out, "debug")
	if err != nil {
		t.Fatal(err)
	}
	Bridge(logger, "net/http").Print("http: something\n broke")
	if strings.Count(out.String(), "\n") != 1 || !json.Valid(out.Bytes()) {
		t.Errorf("a library's line became %q", &out)
	}
}

func TestSamplerCountsWhatItSuppresses(t *testing.T) {
	s, now := NewSampler(2), time.Unix(1000, 0)
	passed := 0
	for range 5 {
		if ok, _ := s.Allow("expired", now); ok {
			passed++
		}
	}
	if ok, _ := s.Allow("other", now); !ok || passed != 2 {
		t.Errorf("passed %d of 5 of one key, and %v of another", passed, ok)
	}
	if ok, suppressed := s.Allow("expired", now.Add(time.Second)); !ok || suppressed != 3 {
		t.Errorf("a second later: %v with %d suppressed, want true with 3", ok, suppressed)
	}
}

func TestHealthIsReadyOnlyBetweenLoadingAndDraining(t *testing.T) {
	var h Health
	status := func() int {
		w := httptest.NewRecorder()
		h.ServeReady(w, nil)
		return w.Code
	}
	if got := status(); got != http.StatusServiceUnavailable {
		t.Errorf("before loading: %d", got)
	}
	h.SetLoaded(true)
	if got := status(); got != http.StatusOK {
		t.Errorf("loaded: %d", got)
	}
	h.Drain()
	h.SetLoaded(true)
	if got := status(); got != http.StatusServiceUnavailable || h.Ready() {
		t.Errorf("draining: %d", got)
	}
}

func TestRegistryTellsTheBuild(t *testing.T) {
	w := httptest.NewRecorder()
	MetricsHandler(NewRegistry("sidecar", Version("v1.2.3"))).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if !strings.Contains(w.Body.String(), `program="sidecar",version="v1.2.3"} 1`) {
		t.Errorf("no gatepost_build_info in\n%s", w.Body)
	}
}

func TestCoreDumpsAreOff(t *testing.T) {
	if err := DisableCoreDumps(); err != nil {
		t.Fatal(err)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &limit); err != nil || limit.Cur != 0 || limit.Max != 0 {
		t.Errorf("limit %+v, %v", limit, err)
	}
}
