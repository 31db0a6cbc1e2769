package demo

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of the list: a screenful, and a line that a phone shows in two.
const (
	maxItems     = 30
	maxItemRunes = 80
)

// item is a line of the shared list.
type item struct {
	ID   uint64 `json:"id"`
	Text string `json:"text"`
	Done bool   `json:"done,omitempty"`
}

// edit makes a new list of an old one, which it must not change.
type edit func(items []item) ([]item, error)

// refusal is why an edit wasn't made, as it is shown to people.
type refusal string

func (r refusal) Error() string { return string(r) }

const (
	errEmptyItem refusal = "Write something first."
	errBadItem   refusal = "That isn’t text."
	errNoItem    refusal = "Somebody has removed that line."
)

var (
	errLongItem = refusal(fmt.Sprintf("That is too long: at most %d characters.", maxItemRunes))
	errFullList = refusal(fmt.Sprintf("The list is full: %d lines. Remove one first.", maxItems))
)

// firstItems are what a new list holds: what to try.
func firstItems() []item {
	return []item{
		{1, "Open this page in a second tab", false},
		{2, "Cut the network, then check me", false},
		{3, "Add a line while the network is cut", false},
	}
}

func addItem(text string) edit {
	return func(items []item) ([]item, error) {
		text := strings.Join(strings.Fields(text), " ")
		switch {
		case text == "":
			return nil, errEmptyItem
		case !utf8.ValidString(text):
			return nil, errBadItem
		case utf8.RuneCountInString(text) > maxItemRunes:
			return nil, errLongItem
		case len(items) >= maxItems:
			return nil, errFullList
		}
		var id uint64
		for _, other := range items {
			id = max(id, other.ID)
		}
		return append(slices.Clone(items), item{ID: id + 1, Text: text}), nil
	}
}

func toggleItem(id uint64) edit {
	return func(items []item) ([]item, error) {
		i := indexOf(items, id)
		if i < 0 {
			return nil, errNoItem
		}
		items = slices.Clone(items)
		items[i].Done = !items[i].Done
		return items, nil
	}
}

func removeItem(id uint64) edit {
	return func(items []item) ([]item, error) {
		i := indexOf(items, id)
		if i < 0 {
			return nil, errNoItem
		}
		return slices.Delete(slices.Clone(items), i, i+1), nil
	}
}

func indexOf(items []item, id uint64) int {
	return slices.IndexFunc(items, func(it item) bool { return it.ID == id })
}
