package cli

import (
	"log/slog"

	"github.com/buffkit/buffkit/push"
)

func (a *app) logger(f *serveFlags) *slog.Logger {
	opts := &slog.HandlerOptions{Level: slog.LevelInfo}
	if f.verbose {
		opts.Level = slog.LevelDebug
	}
	if f.json {
		return slog.New(slog.NewJSONHandler(a.stderr, opts))
	}
	return slog.New(slog.NewTextHandler(a.stderr, opts))
}

// logHooks tells of every stream, for --verbose.
func logHooks(logger *slog.Logger) push.Hooks {
	about := func(c push.Connection) slog.Attr {
		return slog.Group("stream", "id", c.ID, "session", c.Session, "user", c.User, "remote", c.Remote)
	}
	return push.Hooks{
		Connected: func(c push.Connection, o push.Opened) {
			logger.Debug("stream begins", about(c), "state", o.State, "replay", o.Replay)
		},
		Disconnected: func(c push.Connection, cause error) {
			logger.Debug("stream ends", about(c), "cause", cause)
		},
		Refused: func(remote string, err error) { logger.Debug("refused", "remote", remote, "error", err) },
		Gap:     func(c push.Connection, lost push.Lost) { logger.Debug("gap", about(c), "gaps", lost.Gaps) },
	}
}
