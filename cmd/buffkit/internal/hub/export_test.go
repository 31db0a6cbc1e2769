package hub

import "github.com/buffkit/buffkit/push"

// ParseBatch is parseBatch, with its parts apart.
func ParseBatch(body []byte, about push.Event) (events []push.Event, lines []int, err error) {
	b, err := parseBatch(body, about)
	if err != nil {
		return nil, nil, err
	}
	return b.events, b.lines, nil
}
