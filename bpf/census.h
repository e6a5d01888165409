/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What user space reads through iterators: the sockets that exist already, what is held, the
 * kernel's counts, the ports that bind() has taken. Part of tcpstate.bpf.c.
 */

/* The namespaces whose sockets the census of this round has seen, written by user space. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u32);
} visited SEC(".maps");

/* The hash table that walk_sockets went over last: a struct inet_hashinfo, its chains and how many.
 */
volatile __u64 walked_table;
volatile __u64 walked_ehash;
volatile __u32 walked_chains;

/* Is this the timewait socket of a connection? inet_twsk_kill() unlinks it. */
static __always_inline bool is_hashed(struct sock_common *skc)
{
	return skc->skc_nulls_node.pprev != NULL;
}

static __always_inline int announce(struct seq_file *seq, struct event *e)
{
	e->kind = EXISTING; /* user space fills in the time */
	e->flags |= PREEXISTING | IN_CENSUS;
	return bpf_seq_write(seq, e, sizeof(*e));
}

/* Nothing new: only that the census met it is noted. */
static __always_inline bool is_known_timewait(__u64 timer)
{
	struct timewait *known = bpf_map_lookup_elem(&timewaits, &timer);

	if (!known || known->life == GONE)
		return false;
	known->round = census_round;
	return true;
}

/* A timewait socket that nobody has told of. Its owner cannot be known any more. Should whoever
 * made it be about to tell, then that will end this one and begin another. False: it is known, or
 * there is no room. */
static __always_inline bool note_timewait(__u64 timer, struct timewait *t, const struct event *e,
					  __u64 net)
{
	struct timewait *known = bpf_map_lookup_elem(&timewaits, &timer);

	__builtin_memset(t, 0, sizeof(*t));
	timewait_from_event(t, e);
	t->who |= WHO_EXISTED;
	if (known) {
		__sync_fetch_and_add(&timewaits_gone, -1);
		*known = *t;
	} else if (bpf_map_update_elem(&timewaits, &timer, t, BPF_NOEXIST)) {
		if (!bpf_map_lookup_elem(&timewaits, &timer))
			COUNT(timewaits_full);
		return false;
	}
	count_entered(t->netns, net);
	COUNT(timewaits_found);
	return true;
}

/* It was removed before it was noted, or could not be announced. */
static __always_inline void forget_timewait(__u64 timer)
{
	struct timewait *known = bpf_map_lookup_elem(&timewaits, &timer);

	if (known && known->life == LIVE) {
		known->life = GONE;
		__sync_fetch_and_add(&timewaits_gone, 1);
		count_left(known->netns);
	}
}

/* Of servers that are gone the ports tell: theirs is below the usual range of those that connect()
 * chooses, and the other end's is not. */
#define USUAL_RANGE 32768

static __always_inline void fill_timewait_direction(struct event *e)
{
	bool server = e->sport < USUAL_RANGE && e->dport >= USUAL_RANGE;

	e->flags |= DIRECTION_INFERRED;
	e->direction = server || find_listener(e) ? INBOUND : OUTBOUND;
	e->old_state = e->new_state = TCP_TIME_WAIT;
}

/* Met by iter/tcp. */
static __noinline int meet_timewait(struct seq_file *seq, struct tcp_timewait_sock *tw)
{
	struct sock_common *skc = &tw->tw_sk.__tw_common;
	const struct in6_addr *to = &skc->skc_v6_daddr;
	__u64 timer = (__u64)&tw->tw_sk.tw_timer;
	struct timewait t;
	struct event e = {};

	if (is_known_timewait(timer) || !is_hashed(skc))
		return 0;
	if (skc->skc_family != AF_INET6 || (!to->in6_u.u6_addr32[0] && !to->in6_u.u6_addr32[1] &&
					    to->in6_u.u6_addr32[2] == bpf_htonl(0xffff))) {
		map_v4(e.src, skc->skc_rcv_saddr);
		map_v4(e.dst, skc->skc_daddr);
	} else {
		copy_v6(e.src, &skc->skc_v6_rcv_saddr);
		copy_v6(e.dst, to);
	}
	e.sport = bpf_ntohs(tw->tw_sk.tw_sport);
	e.dport = bpf_ntohs(skc->skc_dport);
	e.netns = skc->skc_net.net->ns.inum;
	e.substate = tw->tw_sk.tw_substate;
	fill_timewait_direction(&e);
	if (!timewait_handler)
		timewait_handler = (__u64)tw->tw_sk.tw_timer.function;
	if (!note_timewait(timer, &t, &e, (__u64)skc->skc_net.net))
		return 0;
	/* or the buffer is full, and this socket comes again */
	if (!is_hashed(skc) || announce(seq, &e))
		forget_timewait(timer);
	return 0;
}

/* What a function that meets a socket in its hash chain has found. These are global, so that the
 * verifier looks at each once, and not each time that it is called: hence only numbers come in. */
#define MAX_CHAINS 16
struct walk {
	struct event found;
	/* Here and not on the stack: what comes from a map is any number to the verifier, so that
	 * all rounds of the loop are alike to it. */
	__u64 firsts[MAX_CHAINS];
	__u32 slot;
	__u32 end;
	__u64 net; /* of the last timewait socket, and its number */
	__u32 netns;
	__u32 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct walk);
} walks SEC(".maps");

static __always_inline struct walk *this_walk(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&walks, &zero);
}

static __always_inline struct event *clean_found(void)
{
	struct walk *w = this_walk();

	if (!w)
		return NULL;
	__builtin_memset(&w->found, 0, sizeof(w->found));
	return &w->found;
}

/* Returns whether it is to be announced. */
__noinline int meet_timewait_at(__u64 tw)
{
	union {
		__u8 head[TIMEWAIT_HEAD];
		struct timewait t;
	} u __attribute__((aligned(8)));
	__u64 timer = tw + bpf_core_field_offset(struct inet_timewait_sock, tw_timer);
	struct walk *w = this_walk();
	struct event *e;
	struct net *net;

	if (!w || is_known_timewait(timer))
		return 0;
	e = clean_found();
	if (!e || bpf_probe_read_kernel(u.head, sizeof(u.head), (void *)tw))
		return 0;
	net = HEAD_FIELD(u.head, struct net *, struct sock_common, skc_net);
	__builtin_memcpy(e->src, &HEAD_FIELD(u.head, __u64, struct sock_common, skc_v6_rcv_saddr),
			 16);
	__builtin_memcpy(e->dst, &HEAD_FIELD(u.head, __u64, struct sock_common, skc_v6_daddr), 16);
	if (HEAD_FIELD(u.head, __u16, struct sock_common, skc_family) != AF_INET6 ||
	    (!((__u64 *)e->dst)[0] && ((__u32 *)e->dst)[2] == bpf_htonl(0xffff))) {
		map_v4(e->src, HEAD_FIELD(u.head, __u32, struct sock_common, skc_rcv_saddr));
		map_v4(e->dst, HEAD_FIELD(u.head, __u32, struct sock_common, skc_daddr));
	}
	e->sport = bpf_ntohs(HEAD_FIELD(u.head, __u16, struct inet_timewait_sock, tw_sport));
	e->dport = bpf_ntohs(HEAD_FIELD(u.head, __u16, struct sock_common, skc_dport));
	e->substate = HEAD_FIELD(u.head, __u8, struct inet_timewait_sock, tw_substate);
	if (w->net != (__u64)net) {
		w->net = (__u64)net;
		w->netns = BPF_CORE_READ(net, ns.inum);
	}
	e->netns = w->netns;
	fill_timewait_direction(e);
	if (!timewait_handler)
		timewait_handler = (__u64)TIMEWAIT_READ(timer, tw_sk.tw_timer.function);
	if (!note_timewait(timer, &u.t, e, (__u64)net))
		return 0;
	if (timer_pending(timer))
		return 1;
	forget_timewait(timer);
	return 0;
}

/* Those that are being opened are told when they are open. */
static __always_inline bool is_connection(__u8 state)
{
	return state == TCP_ESTABLISHED || state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 ||
	       state == TCP_CLOSE_WAIT || state == TCP_LAST_ACK || state == TCP_CLOSING;
}

static __always_inline bool is_told(const struct conn *entry)
{
	return entry && entry->live && (entry->established_ns || entry->in_census);
}

/* The entry of a connection that is about to be announced as e says. */
static __always_inline struct conn *note_connection(struct sock *sk, struct conn *entry,
						    const struct event *e, __u32 hash)
{
	if (!entry || !entry->live) {
		struct conn c = {.live = true};

		if (!remember(sk, entry, &c)) {
			COUNT(conns_full);
			return NULL;
		}
		entry = find_entry(sk);
		if (!entry)
			return NULL;
	}
	entry->owner = e->owner;
	entry->direction = e->direction;
	entry->direction_inferred = !!(e->flags & DIRECTION_INFERRED);
	entry->hash = hash;
	entry->state = e->new_state;
	entry->in_census = true;
	return entry;
}

/* Not one that ended before it was known here. Of one whose end was told meanwhile, what that said
 * must be true. */
static __always_inline bool is_to_announce(struct conn *entry, __u8 state)
{
	if (entry->ended)
		return entry->ended == ENDED_ANNOUNCED;
	if (state == TCP_CLOSE)
		entry->live = false;
	return state != TCP_CLOSE;
}

static __always_inline void fill_from_holder(struct event *e, const struct conn *entry)
{
	if (!entry || !entry->live)
		return;
	e->owner = entry->owner;
	e->direction = entry->direction;
	if (entry->direction_inferred)
		e->flags |= DIRECTION_INFERRED;
}

/* Met by iter/tcp. */
static __noinline int meet_connection(struct seq_file *seq, struct tcp_sock *tp)
{
	struct sock *sk = (struct sock *)tp;
	struct conn *entry = find_entry(sk);
	struct event e = {};

	e.old_state = e.new_state = sk->__sk_common.skc_state;
	if (!is_connection(e.new_state) || is_told(entry))
		return 0;
	fill_addresses(&e, sk, tp);
	fill_counters(&e, sk, tp);
	fill_from_holder(&e, entry);
	if (!e.direction)
		infer_direction(&e, sk);
	entry = note_connection(sk, entry, &e, sk->__sk_common.skc_hash);
	if (!entry)
		return 0;
	if (is_to_announce(entry, sk->__sk_common.skc_state) && announce(seq, &e))
		entry->in_census = false; /* the buffer is full: this socket comes again */
	return 0;
}

/* Returns whether it is to be announced. */
__noinline int meet_connection_at(__u64 addr)
{
	struct sock *sk = (void *)addr;
	struct conn *entry = find_entry(sk);
	struct event *e = clean_found();
	struct listener *l;

	if (!e || is_told(entry) || BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP)
		return 0;
	fill_socket(e, (struct tcp_sock *)sk);
	fill_from_holder(e, entry);
	if (!e->direction) {
		l = find_listener(e);
		e->flags |= DIRECTION_INFERRED;
		e->direction = l ? INBOUND : OUTBOUND;
		if (e->owner.basis == OWNER_UNKNOWN && l)
			e->owner = l->owner;
	}
	if (e->owner.basis == OWNER_UNKNOWN) {
		if (bpf_core_field_exists(sk->sk_cgrp_data.cgroup))
			e->owner.cgroup_id = BPF_CORE_READ(sk, sk_cgrp_data.cgroup, kn, id);
		e->owner.basis = OWNER_CGROUP;
	}
	entry = note_connection(sk, entry, e, BPF_CORE_READ(sk, __sk_common.skc_hash));
	if (!entry)
		return 0;
	return is_to_announce(entry, BPF_CORE_READ(sk, __sk_common.skc_state));
}

#define EHASH_RUNS 32768
/* Chains and sockets of a run: 32 in the mean where there are 524,288 of both. */
#define MAX_RUN 96
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, EHASH_RUNS);
	__type(key, __u32);
	__type(value, __u32);
} ehash_runs SEC(".maps");

/* All that a run can write fits behind what is in the buffer; if not, the buffer is handed over
 * first, and the run comes again. */
static __always_inline bool has_room(struct seq_file *seq)
{
	return seq->size - seq->count > MAX_RUN * sizeof(struct event) || !seq->count;
}

/* The first run finds the table of the reader's network namespace for all. */
static __always_inline void find_table(struct net *net)
{
	struct walk *w = this_walk();

	struct inet_hashinfo *info = HASHINFO(net, BPF_CORE_READ);

	walked_chains = BPF_CORE_READ(info, ehash_mask) + 1;
	walked_ehash = (__u64)BPF_CORE_READ(info, ehash);
	walked_table = (__u64)info;
	if (w)
		w->net = 0;
}

/* Reads where the chains of a run begin. False: the table has none for it. */
static __always_inline bool begin_run(struct walk *w, __u32 run)
{
	__u32 chains = walked_chains;
	__u32 first = (__u64)run * chains / EHASH_RUNS;
	__u32 n = ((__u64)run + 1) * chains / EHASH_RUNS - first;

	if (n > MAX_CHAINS) {
		COUNT(chain_cut); /* thash_entries= has made more than 524,288 */
		return false;
	}
	if (!n || chains < MAX_CHAINS)
		return false;
	/* always as many, that the verifier may know; the last ones from the table's end */
	w->slot = first + MAX_CHAINS > chains ? first + MAX_CHAINS - chains : 0;
	w->end = w->slot + n;
	return !bpf_probe_read_kernel(w->firsts, sizeof(w->firsts),
				      (void *)walked_ehash +
					  (__u64)(first - w->slot) * sizeof(w->firsts[0]));
}

/* The sockets of all network namespaces, also of those that cannot be entered, and of those in
 * which nobody lives; iter/tcp skips some (6.12: the first chain, now and then), and takes as long
 * for each namespace. Those with a table of their own (tcp_child_ehash_entries) are left to
 * iter/tcp. A chain that changes under the walk can hide a socket or show it twice; what is hidden
 * is missed by the kernel's count. */
SEC("iter/bpf_map_elem")
int walk_sockets(struct bpf_iter__bpf_map_elem *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct walk *w = this_walk();
	__u32 *key = ctx->key;
	__u64 node, sk;
	__u8 state;
	int found;

	if (!key || !w)
		return 0;
	if (!has_room(ctx->meta->seq))
		return 1;
	if (!*key)
		find_table(BPF_CORE_READ(task, nsproxy, net_ns));
	if (!begin_run(w, *key))
		return 0;
	node = w->firsts[w->slot & (MAX_CHAINS - 1)];
	for (int i = 0; i < MAX_RUN; i++) {
		if (node & 1) {
			if (++w->slot >= w->end)
				return 0;
			node = w->firsts[w->slot & (MAX_CHAINS - 1)];
			continue;
		}
		sk = node - bpf_core_field_offset(struct sock_common, skc_nulls_node);
		state = BPF_CORE_READ((struct sock *)sk, __sk_common.skc_state);
		found = 0;
		if (state == TCP_TIME_WAIT)
			found = meet_timewait_at(sk);
		else if (is_connection(state))
			found = meet_connection_at(sk);
		if (found)
			announce(ctx->meta->seq, &w->found);
		node = (__u64)BPF_CORE_READ((struct hlist_nulls_node *)node, next);
	}
	COUNT(chain_cut);
	return 0;
}

/* The sockets of the reader's network namespace. */
SEC("iter/tcp")
int existing_sockets(struct bpf_iter__tcp *ctx)
{
	struct sock_common *skc = ctx->sk_common;
	struct seq_file *seq = ctx->meta->seq;
	struct tcp_timewait_sock *tw;
	struct tcp_sock *tp;

	if (!skc || (__u64)HASHINFO(skc->skc_net.net, LOAD) == walked_table)
		return 0;
	if (skc->skc_state == TCP_TIME_WAIT) {
		tw = bpf_skc_to_tcp_timewait_sock(skc);
		if (!tw)
			return 0;
		return meet_timewait(seq, tw);
	}
	if (skc->skc_state == TCP_NEW_SYN_RECV)
		return 0;
	tp = bpf_skc_to_tcp_sock(skc);
	return tp ? meet_connection(seq, tp) : 0;
}

/* Who has which socket open. Read before the census, which takes the owners from here. The first
 * process keeps it, unless that is init, which holds sockets for others. */
SEC("iter/task_file")
int socket_holders(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task, *leader;
	struct file *file = ctx->file;
	struct conn c = {.live = true}, *entry;
	struct socket *socket;
	struct sock *sk;
	__u16 family;

	if (!task || !file || (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return 0;
	socket = BPF_CORE_READ(file, private_data);
	sk = BPF_CORE_READ(socket, sk);
	family = BPF_CORE_READ(sk, __sk_common.skc_family);
	if (!sk || (family != AF_INET && family != AF_INET6) ||
	    BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP)
		return 0;
	c.state = BPF_CORE_READ(sk, __sk_common.skc_state);
	if (c.state == TCP_CLOSE || c.state == TCP_LISTEN || !c.state)
		return 0;
	if (c.state == TCP_SYN_SENT)
		c.direction = OUTBOUND;
	leader = BPF_CORE_READ(task, group_leader);
	c.owner.pid = BPF_CORE_READ(task, tgid);
	c.owner.basis = OWNER_HOLDER;
	c.owner.cgroup_id = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
	bpf_core_read(c.owner.comm, sizeof(c.owner.comm), &leader->comm);
	c.hash = BPF_CORE_READ(sk, __sk_common.skc_hash);
	entry = find_entry(sk);
	if (entry && entry->live) {
		if (entry->owner.basis == OWNER_HOLDER && entry->owner.pid == 1)
			entry->owner = c.owner;
		return 0;
	}
	if (!remember(sk, entry, &c)) {
		COUNT(conns_full);
		return 0;
	}
	entry = find_entry(sk);
	if (entry && BPF_CORE_READ(sk, __sk_common.skc_state) == TCP_CLOSE)
		entry->live = false;
	return 0;
}

/* The timewait sockets that are held, at the end of a window. */
SEC("iter/bpf_map_elem")
int held_timewaits(struct bpf_iter__bpf_map_elem *ctx)
{
	struct timewait *t = ctx->value;
	__u64 *key = ctx->key, timer;
	struct event e;

	if (!key || !t || t->life != LIVE || !t->announced)
		return 0;
	timer = *key;
	event_from_timewait(&e, t);
	e.kind = OPEN;
	e.time_ns = bpf_ktime_get_ns();
	if (probe_reads) {
		e.substate = TIMEWAIT_READ(timer, tw_sk.tw_substate);
		e.jiffies = TIMEWAIT_READ(timer, tw_sk.tw_timer.expires) - bpf_jiffies64();
		e.flags |= COUNTED; /* jiffies were read */
		if (TIMEWAIT_READ(timer, tw_ts_recent_stamp))
			e.flags |= TIMESTAMPS;
	}
	bpf_seq_write(ctx->meta->seq, &e, sizeof(e));
	return 0;
}

/* Did the census go over the namespace? It did when the table of all was walked and is the
 * namespace's; or when its sockets were listed. One that is gone has none. */
static __always_inline bool was_visited(__u32 netns)
{
	struct namespace *ns = bpf_map_lookup_elem(&namespaces, &netns);
	__u32 *round = bpf_map_lookup_elem(&visited, &netns);

	if (round && *round == census_round)
		return true;
	if (ns && probe_reads) {
		struct net *net = (void *)ns->net;

		return BPF_CORE_READ(net, ns.inum) != netns ||
		       (__u64)HASHINFO(net, BPF_CORE_READ) == walked_table;
	}
	return false;
}

/* A census did not meet it. */
static __always_inline bool is_missing(const struct timewait *t)
{
	return t->life == LIVE && t->round != census_round && was_visited(t->netns);
}

/* Deletes the entries of map timewaits whose socket is gone; after a census also those that it
 * missed. */
SEC("iter/bpf_map_elem")
int sweep_timewaits(struct bpf_iter__bpf_map_elem *ctx)
{
	struct timewait *t = ctx->value, gone;
	__u64 *key = ctx->key, timer;
	struct event e;

	if (!key || !t)
		return 0;
	timer = *key;
	if (is_missing(t)) {
		__builtin_memcpy(&gone, t, sizeof(gone));
		if (bpf_map_delete_elem(&timewaits, &timer))
			return 0;
		COUNT(timewaits_missed);
		if (timewait_ended(&e, &gone, bpf_ktime_get_ns(), 0, INFERRED))
			send(&e);
		return 0;
	}
	if (t->life != GONE)
		return 0;
	if (!bpf_map_delete_elem(&timewaits, &timer))
		__sync_fetch_and_add(&timewaits_gone, -1);
	return 0;
}

/* Ends that are older than this are final although no other timer has moved on their CPU since. */
volatile __u64 settle_before_ns;

SEC("iter/bpf_map_elem")
int settle_ends(struct bpf_iter__bpf_map_elem *ctx)
{
	__u32 *key = ctx->key, id;
	struct cpu *c;

	if (!key)
		return 0;
	id = *key;
	c = bpf_map_lookup_elem(&cpus, &id);
	if (c && c->leaving.timer && c->leaving.time_ns < settle_before_ns)
		end_timewait(&c->leaving);
	return 0;
}

/* What was counted in a namespace, and the kernel's own count at the same moment. */
struct namespace_count {
	__u32 netns;
	__s32 kernel; /* -1: the namespace is gone */
	__u64 entered;
	__u64 left;
};

SEC("iter/bpf_map_elem")
int count_timewaits(struct bpf_iter__bpf_map_elem *ctx)
{
	struct namespace_count count = {.kernel = -1};
	struct namespace *ns = ctx->value;
	__u32 *key = ctx->key;
	struct net *net;

	if (!key || !ns)
		return 0;
	net = (void *)ns->net;
	count.netns = *key;
	count.entered = ns->entered;
	count.left = ns->left;
	if (BPF_CORE_READ(net, ns.inum) == count.netns)
		count.kernel = TIMEWAIT_COUNT(net, BPF_CORE_READ);
	bpf_seq_write(ctx->meta->seq, &count, sizeof(count));
	return 0;
}

/* 8 ports each: an element a run, so that no program loops for long. */
#define PORTS_A_RUN 8
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 65536 / PORTS_A_RUN);
	__type(key, __u32);
	__type(value, __u32);
} port_runs SEC(".maps");

#define MAX_BUCKETS 16 /* in a chain of bhash; the mean is below 1 */

/* Is the port closed to every connect() in net? So it is where anything but connect() took it:
 * bind(), listen() (__inet_hash_connect()). */
static __always_inline bool is_blocked(struct inet_hashinfo *info, struct net *net, __u32 mix,
				       __u16 port)
{
	__u32 slot = (port + mix) & (BPF_CORE_READ(info, bhash_size) - 1);
	struct inet_bind_hashbucket *head =
	    (void *)BPF_CORE_READ(info, bhash) +
	    (__u64)slot * bpf_core_type_size(struct inet_bind_hashbucket);
	struct hlist_node *node = BPF_CORE_READ(head, chain.first);

	for (int i = 0; i < MAX_BUCKETS && node; i++) {
		struct inet_bind_bucket *b =
		    (void *)node - bpf_core_field_offset(struct inet_bind_bucket, node);

		if (BPF_CORE_READ(b, port) == port && BPF_CORE_READ(b, ib_net.net) == net)
			return BPF_CORE_READ(b, fastreuse) >= 0 ||
			       BPF_CORE_READ(b, fastreuseport) >= 0;
		node = BPF_CORE_READ(b, node.next);
	}
	if (node)
		COUNT(chain_cut);
	return false;
}

/* A bit for each port of the reader's network namespace. */
SEC("iter/bpf_map_elem")
int blocked_ports(struct bpf_iter__bpf_map_elem *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u32 *key = ctx->key, first, mix;
	__u8 bits = 0;
	struct inet_hashinfo *info;
	struct net *net;

	if (!key)
		return 0;
	first = *key * PORTS_A_RUN;
	net = BPF_CORE_READ(task, nsproxy, net_ns);
	info = HASHINFO(net, BPF_CORE_READ);
	mix = BPF_CORE_READ(net, hash_mix);
	for (__u32 i = 0; i < PORTS_A_RUN; i++)
		bits |= is_blocked(info, net, mix, first + i) << i;
	bpf_seq_write(ctx->meta->seq, &bits, sizeof(bits));
	return 0;
}
