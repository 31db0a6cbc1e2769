package eventlog

import (
	"fmt"
	"unicode"
	"unicode/utf8"
)

// MaxTopicBytes bounds a topic's name and a key.
const MaxTopicBytes = 255 // what fits a file name and every database's indexed column

// CheckTopic returns an error that wraps ErrInvalid and says why, if topic can't be a topic's name.
func CheckTopic(topic string) error {
	switch {
	case topic == "":
		return fmt.Errorf("%w: no topic", ErrInvalid)
	case len(topic) > MaxTopicBytes:
		return fmt.Errorf("%w: topic of %d bytes, at most %d", ErrInvalid, len(topic), MaxTopicBytes)
	case !utf8.ValidString(topic):
		return fmt.Errorf("%w: topic %q isn't UTF-8", ErrInvalid, topic)
	}
	for _, r := range topic {
		if unicode.IsControl(r) {
			return fmt.Errorf("%w: topic %q has a control character", ErrInvalid, topic)
		}
	}
	return nil
}
