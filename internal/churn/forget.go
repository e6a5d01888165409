package churn

// ForgetHost takes out what is known of a network namespace that is gone, unless a port budget is left of it.
func (t *Table) ForgetHost(netns uint32) {
	n := t.namespaces[netns]
	if n == nil || len(n.binds) > 0 {
		return
	}
	for _, b := range t.budgets {
		if b.namespace == n {
			return
		}
	}
	delete(t.namespaces, netns)
}
