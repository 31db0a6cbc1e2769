package cli

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (a *app) version() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  buffkit version\n  buffkit version --json",
		Args:    noArgs,
		RunE: a.run(func(*cobra.Command, []string) error {
			if asJSON {
				return printJSON(a.stdout, build())
			}
			_, err := fmt.Fprintf(a.stdout, "buffkit %v\n", build())
			return err
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, `print {"version","commit","go"}`)
	return cmd
}

type buildInfo struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Go      string `json:"go"`
}

func (b buildInfo) String() string {
	return fmt.Sprintf("%s (%s, %s)", b.Version, cmp.Or(b.Commit, "unknown commit"), b.Go)
}

// build tells what Go wrote into the binary.
func build() buildInfo {
	b := buildInfo{Version: "(devel)", Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Version = cmp.Or(info.Main.Version, b.Version)
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			b.Commit = setting.Value[:min(len(setting.Value), 12)]
		}
	}
	return b
}
