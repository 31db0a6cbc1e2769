package push

// Followed counts the places that streams hold in the index.
func (b *Broker) Followed() (places int) {
	for i := range b.streams.shards {
		s := &b.streams.shards[i]
		s.mu.Lock()
		for _, list := range s.topics {
			places += 1 + len(list) // a topic without streams must not be there either
		}
		s.mu.Unlock()
	}
	return places
}
