package cli

import "github.com/spf13/cobra"

// WriteLedger is what adopt --write does when the files are written.
var WriteLedger = writeLedger

// Commands returns every command, each as the words that follow the program's name.
func Commands() (all [][]string) {
	var walk func(c *cobra.Command, words []string)
	walk = func(c *cobra.Command, words []string) {
		all = append(all, words)
		for _, below := range c.Commands() {
			walk(below, append(words[:len(words):len(words)], below.Name()))
		}
	}
	walk(new(app).root(), nil)
	return all
}
