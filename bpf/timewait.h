/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Timewait sockets: seen when they are made, followed until they are removed. No tracepoint shows
 * either. Entries are found by looking (tier 2: the ehash chain) or told by the function that makes
 * them (tier 1: fexit/inet_twsk_alloc); ends are told by the timer that each has (tier 2) or by the
 * function that removes them (tier 1: fentry/inet_twsk_kill). Part of tcpstate.bpf.c.
 */

/* struct timewait, life. LEAVING: its timer was taken off, and is not back yet. */
enum {
	LIVE = 1,
	LEAVING = 2,
	GONE = 3,
};

/* struct timewait, who */
#define WHO_DIRECTION(who)    ((who)&3)
#define WHO_BASIS(who)	      (((who) >> 2) & 7)
#define WHO(direction, basis) ((direction) | (basis) << 2)
enum {
	WHO_EXISTED = 32,	/* made before tracing */
	WHO_INFERRED = 64,	/* the direction is */
	WHO_IN_FIN_WAIT2 = 128, /* substate: the peer's FIN is still to come */
};

/* A timewait socket, with all that its end will be reported with: by then its memory can be
 * another's. With map overhead 128 bytes, of which there can be half a million. */
struct timewait {
	__u64 cgroup_id;
	__u8 comm[16];
	__u8 src[16];
	__u8 dst[16];
	__u32 netns;
	__u32 pid;
	__u16 sport;
	__u16 dport;
	/* Bytes, each written by one side only, because 5.10 has no atomic or. */
	__u8 who; /* direction, basis of the owner, WHO_ bits */
	__u8 life;
	bool announced; /* there was a record of it */
	__u8 round;	/* of the census that met it last */
};
_Static_assert(sizeof(struct timewait) == 72, "fits kmalloc-128 with the map's 56 bytes");

/* By the address of tw_timer, which is what the timer hooks get. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 524288);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct timewait);
} timewaits SEC(".maps");

/* A timewait socket that is ending: nobody knows yet whether its timer was only set anew. */
struct leaving {
	__u64 timer; /* 0: none */
	__u64 time_ns;
	struct timewait timewait;
	__u8 cause;
	__u8 basis;
	__u8 reserved[6];
};

/* One for each CPU, in a plain array so that user space's iterator reaches all of them. */
struct cpu {
	__u64 connecting;  /* the socket whose connect() began last */
	__u64 cancel_runs; /* of the two timer hooks */
	__u64 start_runs;
	struct leaving leaving;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cpu);
} cpus SEC(".maps");

/* What we have counted in a namespace, to be compared with the kernel's own count. */
struct namespace
{
	__u64 net;
	__u64 entered;
	__u64 left;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct namespace);
} namespaces SEC(".maps");

/* tw_timer_handler(), learned from the first timewait socket that is met. */
volatile __u64 timewait_handler;

/* How many entries of map timewaits wait to be deleted: not under a timer's lock, where freeing can
 * set another timer (rcu_nocbs). */
volatile __u64 timewaits_gone;

/* Of the last census: what was there when it began has another number. */
volatile __u32 census_round;

/* Set before load: inet_twsk_alloc() tells of new timewait sockets, no chain need be walked. */
const volatile bool timewait_alloc_tells = false;

static __always_inline struct cpu *this_cpu(void)
{
	__u32 id = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&cpus, &id);
}

static __always_inline void note_connecting(struct sock *sk)
{
	struct cpu *c = this_cpu();

	if (c)
		c->connecting = (__u64)sk;
}

static __always_inline struct namespace *count_in(__u32 netns, __u64 net)
{
	struct namespace *ns = bpf_map_lookup_elem(&namespaces, &netns);

	if (!ns) {
		struct namespace first = {.net = net};

		bpf_map_update_elem(&namespaces, &netns, &first, BPF_NOEXIST);
		ns = bpf_map_lookup_elem(&namespaces, &netns);
	}
	if (!ns) {
		COUNT(namespaces_full);
		return NULL;
	}
	if (ns->net != net && net) { /* another namespace under the number of one that is gone */
		ns->net = net;
		ns->entered = 0;
		ns->left = 0;
	}
	return ns;
}

static __always_inline void count_entered(__u32 netns, __u64 net)
{
	struct namespace *ns = count_in(netns, net);

	if (ns)
		__sync_fetch_and_add(&ns->entered, 1);
}

static __always_inline void count_left(__u32 netns)
{
	struct namespace *ns = bpf_map_lookup_elem(&namespaces, &netns);

	if (ns)
		__sync_fetch_and_add(&ns->left, 1);
}

/* READ is how: LOAD where net is a pointer that the verifier knows, else BPF_CORE_READ. */
#define LOAD2(a, b)		   ((a)->b)
#define LOAD3(a, b, c)		   ((a)->b->c)
#define LOAD_N(a, b, c, name, ...) name
#define LOAD(...)		   LOAD_N(__VA_ARGS__, LOAD3, LOAD2)(__VA_ARGS__)
#define HASHINFO(net, READ)                                                                        \
	({                                                                                         \
		struct net___from_5_18 *pointer_ = (void *)(net);                                  \
		bpf_core_field_exists(pointer_->ipv4.tcp_death_row)                                \
		    ? READ(pointer_, ipv4.tcp_death_row, hashinfo)                                 \
		    : READ(net, ipv4.tcp_death_row.hashinfo);                                      \
	})

/* What is read of a timewait socket, in one piece: each read has a price, its size has hardly one.
 */
#define TIMEWAIT_HEAD 152
#define HEAD_FIELD(head, ctype, type, field)                                                       \
	(*(ctype *)((head) + bpf_core_field_offset(type, field)))

/* Is this what sk has become? All differences in one word, because branches in a loop multiply for
 * the verifier. */
static __always_inline bool is_timewait_of(const __u8 *head, struct sock *sk, const struct event *e,
					   __u64 v6)
{
	const __u64 *to = (const __u64 *)e->dst, *from = (const __u64 *)e->src;
	const __u64 *tw_to = &HEAD_FIELD(head, __u64, struct sock_common, skc_v6_daddr);
	const __u64 *tw_from = &HEAD_FIELD(head, __u64, struct sock_common, skc_v6_rcv_saddr);
	__u64 differs;

	differs = (tw_to[0] ^ to[0]) | (tw_to[1] ^ to[1]);
	differs |= (tw_from[0] ^ from[0]) | (tw_from[1] ^ from[1]);
	differs &= v6;
	differs |= HEAD_FIELD(head, __u32, struct sock_common, skc_hash) ^ sk->__sk_common.skc_hash;
	differs |= HEAD_FIELD(head, __u8, struct sock_common, skc_state) ^ TCP_TIME_WAIT;
	differs |=
	    HEAD_FIELD(head, __u16, struct sock_common, skc_dport) ^ sk->__sk_common.skc_dport;
	differs |=
	    HEAD_FIELD(head, __u16, struct inet_timewait_sock, tw_sport) ^ bpf_htons(e->sport);
	differs |=
	    HEAD_FIELD(head, __u32, struct sock_common, skc_daddr) ^ sk->__sk_common.skc_daddr;
	differs |= HEAD_FIELD(head, __u32, struct sock_common, skc_rcv_saddr) ^
		   sk->__sk_common.skc_rcv_saddr;
	return !differs && HEAD_FIELD(head, __u64, struct sock_common, skc_net) ==
			       (__u64)sk->__sk_common.skc_net.net;
}

/* All ones when sk talks IPv6, without a branch. */
static __always_inline __u64 v6_mask(struct sock *sk)
{
	const struct in6_addr *to = &sk->__sk_common.skc_v6_daddr;
	__u64 mapped = to->in6_u.u6_addr32[0] | to->in6_u.u6_addr32[1] |
		       (to->in6_u.u6_addr32[2] ^ bpf_htonl(0xffff));
	__u64 family = sk->__sk_common.skc_family ^ AF_INET6;

	return ((family - 1) >> 63) * (0 - ((0 - mapped) >> 63));
}

/* Looks for the timewait socket that has taken sk's place in its ehash chain: TIME_WAIT is seen,
 * not guessed. Returns its substate, or 0, and the address of its timer. A nulls marker of another
 * chain means that the node at hand was moved meanwhile: start again. */
static __noinline int timewait_substate(struct sock *sk, const struct event *e, __u64 *timer)
{
	struct net *net = sk->__sk_common.skc_net.net;
	struct inet_hashinfo *info = HASHINFO(net, LOAD);
	__u32 slot = sk->__sk_common.skc_hash & info->ehash_mask;
	struct inet_ehash_bucket *bucket =
	    (void *)BPF_CORE_READ(info, ehash) +
	    (__u64)slot * bpf_core_type_size(struct inet_ehash_bucket);
	struct hlist_nulls_node *node = BPF_CORE_READ(bucket, chain.first);
	__u64 v6 = v6_mask(sk);
	__u8 head[TIMEWAIT_HEAD] __attribute__((aligned(8)));

	for (int i = 0; i < MAX_CHAIN; i++) {
		struct inet_timewait_sock *tw;

		if ((__u64)node & 1) {
			if ((__u64)node >> 1 == slot)
				return 0;
			node = BPF_CORE_READ(bucket, chain.first);
			continue;
		}
		tw = (void *)node - bpf_core_field_offset(struct sock_common, skc_nulls_node);
		if (bpf_probe_read_kernel(head, sizeof(head), tw))
			break;
		if (is_timewait_of(head, sk, e, v6)) {
			*timer = (__u64)&tw->tw_timer;
			return HEAD_FIELD(head, __u8, struct inet_timewait_sock, tw_substate);
		}
		node =
		    HEAD_FIELD(head, struct hlist_nulls_node *, struct sock_common, skc_nulls_node);
	}
	COUNT(chain_cut);
	return -1;
}

/* How many timewait sockets the namespace has, by the kernel's own count. */
#define TIMEWAIT_COUNT(net, READ)                                                                  \
	({                                                                                         \
		struct net___from_5_18 *pointer_ = (void *)(net);                                  \
		struct net___before_5_18 *old_ = (void *)(net);                                    \
		int count_;                                                                        \
		if (bpf_core_field_exists(pointer_->ipv4.tcp_death_row))                           \
			count_ = READ(pointer_, ipv4.tcp_death_row, tw_refcount.refs.counter) - 1; \
		else if (bpf_core_field_exists((net)->ipv4.tcp_death_row.tw_refcount))             \
			count_ = READ(net, ipv4.tcp_death_row.tw_refcount.refs.counter) - 1;       \
		else                                                                               \
			count_ = READ(old_, ipv4.tcp_death_row.tw_count.counter);                  \
		count_;                                                                            \
	})

/* tcp_max_tw_buckets is reached in this namespace: inet_twsk_alloc() refuses. */
static __always_inline bool timewait_full(struct net *net)
{
	struct net___from_5_18 *pointer = (void *)net;
	int limit = bpf_core_field_exists(pointer->ipv4.tcp_death_row)
			? pointer->ipv4.tcp_death_row->sysctl_max_tw_buckets
			: net->ipv4.tcp_death_row.sysctl_max_tw_buckets;

	return TIMEWAIT_COUNT(net, LOAD) >= limit;
}

static __always_inline void timewait_from_event(struct timewait *t, const struct event *e)
{
	t->cgroup_id = e->owner.cgroup_id;
	t->pid = e->owner.pid;
	__builtin_memcpy(t->comm, e->owner.comm, sizeof(t->comm));
	__builtin_memcpy(t->src, e->src, sizeof(t->src));
	__builtin_memcpy(t->dst, e->dst, sizeof(t->dst));
	t->netns = e->netns;
	t->sport = e->sport;
	t->dport = e->dport;
	t->who = WHO(e->direction, e->owner.basis);
	if (e->flags & DIRECTION_INFERRED)
		t->who |= WHO_INFERRED;
	if (e->substate == TCP_FIN_WAIT2)
		t->who |= WHO_IN_FIN_WAIT2;
	t->life = LIVE;
	t->announced = true;
	t->round = census_round;
}

static __always_inline void event_from_timewait(struct event *e, const struct timewait *t)
{
	__builtin_memset(e, 0, sizeof(*e));
	e->owner.cgroup_id = t->cgroup_id;
	e->owner.pid = t->pid;
	e->owner.basis = WHO_BASIS(t->who);
	__builtin_memcpy(e->owner.comm, t->comm, sizeof(t->comm));
	__builtin_memcpy(e->src, t->src, sizeof(t->src));
	__builtin_memcpy(e->dst, t->dst, sizeof(t->dst));
	e->netns = t->netns;
	e->sport = t->sport;
	e->dport = t->dport;
	e->direction = WHO_DIRECTION(t->who);
	if (t->who & WHO_INFERRED)
		e->flags |= DIRECTION_INFERRED;
	if (t->who & WHO_EXISTED)
		e->flags |= PREEXISTING | IN_CENSUS;
	e->old_state = TCP_TIME_WAIT;
	e->new_state = TCP_TIME_WAIT;
	e->substate = t->who & WHO_IN_FIN_WAIT2 ? TCP_FIN_WAIT2 : TCP_TIME_WAIT;
}

/* Counts it, and makes e the record of it. False: there is nothing to send. */
static __always_inline bool timewait_ended(struct event *e, const struct timewait *t, __u64 time_ns,
					   __u8 cause, __u8 basis)
{
	count_left(t->netns);
	if (!t->announced)
		return false;
	event_from_timewait(e, t);
	e->kind = TIME_WAIT_END;
	e->time_ns = time_ns;
	e->new_state = TCP_CLOSE;
	e->cause = cause;
	e->basis = basis;
	return true;
}

/* A field of the timewait socket whose timer it is. */
#define TIMEWAIT_READ(timer, field)                                                                \
	({                                                                                         \
		struct tcp_timewait_sock *tw_ = (void *)(timer)-bpf_core_field_offset(             \
		    struct tcp_timewait_sock, tw_sk.tw_timer);                                     \
		BPF_CORE_READ(tw_, field);                                                         \
	})

static __always_inline bool timer_pending(__u64 timer)
{
	return TIMEWAIT_READ(timer, tw_sk.tw_timer.entry.pprev) != NULL;
}

/* A timewait socket has taken the place of sk; e says so, and has been sent. True: e is now about
 * the end of a timewait socket, to be sent as well. (Not from here: the stack is short.) */
static __noinline int enter_timewait(struct sock *sk, struct event *e, __u64 timer)
{
	struct timewait *known, t = {};
	bool ended = false;

	timewait_from_event(&t, e);
	known = bpf_map_lookup_elem(&timewaits, &timer);
	if (known && known->life == LIVE && !known->announced) {
		*known = t; /* the same: inet_twsk_alloc() told */
		return false;
	}
	if (timewait_alloc_tells && known && known->life != LIVE)
		return false; /* removed already */
	count_entered(t.netns, (__u64)sk->__sk_common.skc_net.net);
	if (known) {
		if (known->life == LIVE) /* no program was called when it ended */
			ended = timewait_ended(e, known, e->time_ns, 0, INFERRED);
		else if (known->life == GONE)
			__sync_fetch_and_add(&timewaits_gone, -1);
		*known = t;
	} else if (bpf_map_update_elem(&timewaits, &timer, &t, BPF_NOEXIST)) {
		COUNT(timewaits_full);
		return false;
	}
	if (!probe_reads)
		return ended;
	if (!timewait_handler)
		timewait_handler = (__u64)TIMEWAIT_READ(timer, tw_sk.tw_timer.function);
	/* removed before it could be known here: its end was ignored */
	if (!ended && !timer_pending(timer)) {
		known = bpf_map_lookup_elem(&timewaits, &timer);
		if (known && known->life == LIVE) {
			known->life = GONE;
			__sync_fetch_and_add(&timewaits_gone, 1);
			ended = timewait_ended(e, &t, e->time_ns, KILLED, INFERRED);
		}
	}
	return ended;
}

/* It stayed away. */
static __noinline int end_timewait(struct leaving *l)
{
	struct timewait *known;
	struct event e;
	__u64 timer = l->timer;

	l->timer = 0;
	known = bpf_map_lookup_elem(&timewaits, &timer);
	if (known && known->life == LEAVING) {
		known->life = GONE;
		__sync_fetch_and_add(&timewaits_gone, 1);
	}
	if (timewait_ended(&e, &l->timewait, l->time_ns, l->cause, l->basis))
		send(&e);
	return 0;
}

/* Has the connect() that began last on this CPU just taken over the 4-tuple? Its socket has the
 * port before the timewait socket is removed. */
static __always_inline bool connect_took(const struct cpu *c, const struct timewait *t)
{
	struct sock *sk = (void *)c->connecting;

	return sk && BPF_CORE_READ(sk, __sk_common.skc_state) == TCP_SYN_SENT &&
	       BPF_CORE_READ(sk, __sk_common.skc_num) == t->sport &&
	       BPF_CORE_READ(sk, __sk_common.skc_dport) == bpf_htons(t->dport) &&
	       BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum) == t->netns;
}

/* Why a timewait socket ends whose timer is set for expires. */
static __always_inline void fill_cause(struct leaving *l, const struct cpu *c, __u64 expires)
{
	l->basis = EXACT;
	if ((__s64)(bpf_jiffies64() - expires) >= 0) {
		l->cause = EXPIRED;
		return;
	}
	if (!probe_reads) {
		l->cause = 0;
		l->basis = INFERRED;
		return;
	}
	if (c && connect_took(c, &l->timewait)) {
		l->cause = REUSED;
		return;
	}
	/* a connect() that moved to another CPU meanwhile is missed */
	l->cause = KILLED;
	l->basis = INFERRED;
}

/* Tier 2. Runs for every timer of the host, with its lock held and interrupts off. A timewait
 * socket's timer is taken off when it expires or is removed, and when it is set anew; then
 * timer_start follows at once, before any other timer event of this CPU. */
SEC("tp_btf/timer_cancel")
int BPF_PROG(timewait_timer_cancel, struct timer_list *timer)
{
	struct cpu *c = this_cpu();
	struct timewait *t;
	__u64 key;

	if (!c)
		return 0;
	c->cancel_runs++;
	if (c->leaving.timer)
		end_timewait(&c->leaving);
	if ((__u64)timer->function != timewait_handler || stopping)
		return 0;
	key = (__u64)timer;
	t = bpf_map_lookup_elem(&timewaits, &key);
	if (!t || t->life != LIVE)
		return 0;
	t->life = LEAVING;
	if (TIMEWAIT_READ(key, tw_sk.tw_substate) == TCP_TIME_WAIT)
		t->who &= ~WHO_IN_FIN_WAIT2;
	__builtin_memcpy(&c->leaving.timewait, t, sizeof(*t));
	c->leaving.time_ns = bpf_ktime_get_ns();
	fill_cause(&c->leaving, c, timer->expires);
	c->leaving.timer = key;
	return 0;
}

SEC("tp_btf/timer_start")
int BPF_PROG(timewait_timer_start, struct timer_list *timer)
{
	struct cpu *c = this_cpu();
	__u64 key = (__u64)timer;
	struct timewait *t;

	if (!c)
		return 0;
	c->start_runs++;
	if (!c->leaving.timer)
		return 0;
	if (c->leaving.timer != key) {
		end_timewait(&c->leaving);
		return 0;
	}
	c->leaving.timer = 0; /* set anew */
	t = bpf_map_lookup_elem(&timewaits, &key);
	if (t && t->life == LEAVING)
		t->life = LIVE;
	return 0;
}

/* Tier 1: three functions. Whether a kernel has them out of line differs by version: a self-test
 * finds out. */
SEC("fexit/inet_twsk_alloc")
int BPF_PROG(timewait_alloc, struct sock *sk, struct inet_timewait_death_row *row, int state,
	     struct inet_timewait_sock *tw)
{
	struct timewait *known, t = {.life = LIVE};
	struct conn *entry;
	__u64 timer;

	if (sk->sk_protocol != IPPROTO_TCP || stopping || not_under_test(sk))
		return 0;
	entry = find_entry(sk);
	if (!entry) {
		struct conn stub = {.live = true};

		remember(sk, NULL, &stub);
		entry = find_entry(sk);
	}
	if (entry)
		entry->timewait_substate = tw ? state : NO_TIMEWAIT;
	if (!tw)
		return 0;
	timer = (__u64)&tw->tw_timer;
	if (entry)
		entry->timewait = timer;
	t.netns = sk->__sk_common.skc_net.net->ns.inum;
	t.round = census_round;
	if (state == TCP_FIN_WAIT2)
		t.who = WHO_IN_FIN_WAIT2;
	count_entered(t.netns, (__u64)sk->__sk_common.skc_net.net);
	known = bpf_map_lookup_elem(&timewaits, &timer);
	if (known) {
		if (known->life == GONE)
			__sync_fetch_and_add(&timewaits_gone, -1);
		*known = t;
	} else if (bpf_map_update_elem(&timewaits, &timer, &t, BPF_NOEXIST)) {
		COUNT(timewaits_full);
	}
	return 0;
}

SEC("fentry/__inet_twsk_schedule")
int BPF_PROG(timewait_schedule, struct inet_timewait_sock *tw)
{
	__u64 timer = (__u64)&tw->tw_timer;
	struct timewait *t = bpf_map_lookup_elem(&timewaits, &timer);

	if (t && tw->tw_substate == TCP_TIME_WAIT)
		t->who &= ~WHO_IN_FIN_WAIT2;
	return 0;
}

SEC("fentry/inet_twsk_kill")
int BPF_PROG(timewait_kill, struct inet_timewait_sock *tw)
{
	__u64 timer = (__u64)&tw->tw_timer;
	struct timewait *t = bpf_map_lookup_elem(&timewaits, &timer);
	struct leaving l = {.timer = timer};

	if (!t || t->life != LIVE || stopping)
		return 0;
	t->life = LEAVING;
	if (tw->tw_substate == TCP_TIME_WAIT)
		t->who &= ~WHO_IN_FIN_WAIT2;
	__builtin_memcpy(&l.timewait, t, sizeof(*t));
	l.time_ns = bpf_ktime_get_ns();
	fill_cause(&l, this_cpu(), tw->tw_timer.expires);
	end_timewait(&l);
	return 0;
}
