package cli

import (
	"fmt"
	"os"

	"github.com/buffkit/buffkit/cmd/buffkit/internal/access"
)

const secretVar = "BUFFKIT_SECRET"

// loadKeys reads the secrets from the file, or from the environment if none is named. It returns nil if there is neither.
func loadKeys(file string) (*access.Keys, error) {
	from, text := "$"+secretVar, os.Getenv(secretVar)
	if file != "" {
		from = file
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read the secret: %w", err)
		}
		text = string(data)
	} else if text == "" {
		return nil, nil
	}
	keys, err := access.ParseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; make one with: buffkit token --new-secret", from, err)
	}
	return keys, nil
}
