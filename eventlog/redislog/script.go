package redislog

import (
	_ "embed"

	"github.com/buffkit/buffkit/eventlog/redislog/redisconn"
)

var (
	//go:embed scripts/lib.lua
	lib string
	//go:embed scripts/append.lua
	appendText string
	//go:embed scripts/peek.lua
	peekText string
	//go:embed scripts/history.lua
	historyText string
	//go:embed scripts/supersede.lua
	supersedeText string
	//go:embed scripts/sweep.lua
	sweepText string

	appendScript    = redisconn.NewScript(lib, appendText)
	peekScript      = redisconn.NewScript(lib, peekText)
	historyScript   = redisconn.NewScript(lib, historyText)
	supersedeScript = redisconn.NewScript(lib, supersedeText)
	sweepScript     = redisconn.NewScript(lib, sweepText)
)
