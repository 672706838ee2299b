package scrape

// ReleaseConnections closes the idle TLS connections to targets, which hold by far the most memory of all idle ones, and
// lets go of idle read buffers. It returns how many bytes that was. The next scrapes connect anew, by resumed sessions
// where the targets take them.
func (m *Manager) ReleaseConnections() (bytes int64) {
	m.mu.Lock()
	clients := make([]*jobClient, 0, len(m.jobs))
	for _, j := range m.jobs {
		clients = append(clients, j.state.client)
	}
	m.mu.Unlock()
	for _, c := range clients {
		for _, t := range c.own {
			bytes += t.CloseIdleTLS().Bytes
		}
	}
	return bytes + m.readers.Shrink()
}
