package telemetry

import (
	"fmt"
	"io"
	"log"
	"log/slog"
	"strings"
)

// NewLogger returns a logger that writes JSON records of at least the given
// level to w: debug, info, warn or error; empty means info.
func NewLogger(w io.Writer, level string) (*slog.Logger, error) {
	least := slog.LevelInfo
	switch level {
	case "debug":
		least = slog.LevelDebug
	case "", "info":
	case "warn":
		least = slog.LevelWarn
	case "error":
		least = slog.LevelError
	default:
		return nil, fmt.Errorf("log level %q is not known: use debug, info, warn or error", level)
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: least})), nil
}

// Bridge returns a logger of package log for libraries that want one, net/http
// above all. Each of its lines becomes the field detail of a record with the
// given message, at debug level: what such libraries say is about one broken
// connection, which is counted elsewhere.
func Bridge(logger *slog.Logger, message string) *log.Logger {
	return log.New(bridge{logger: logger.With("library", message)}, "", 0)
}

type bridge struct{ logger *slog.Logger }

// Write logs one line; net/http writes a whole line at once.
func (b bridge) Write(line []byte) (int, error) {
	b.logger.Debug("library says", "detail", strings.TrimSpace(string(line)))
	return len(line), nil
}
