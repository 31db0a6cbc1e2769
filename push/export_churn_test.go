package push

// Followed counts the places that streams hold in the index.
func (b *Broker) Followed() (places int) {
	b.streams.mu.RLock()
	defer b.streams.mu.RUnlock()
	for _, list := range b.streams.followers { // a topic without streams must not be there either
		places += 1 + len(list)
	}
	return places + len(b.streams.audiences) + len(b.streams.users)
}
