/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Failures that change no socket's state, so that inet_sock_set_state is silent: bind() for want of
 * a port or of the address, connect() for want of a route. Part of tcpstate.bpf.c; optional, for a
 * hook on any system call makes all of them slower.
 *
 * There is none where the calls begin: their arguments are still in the registers when they end.
 *
 * Not seen: bind and connect by io_uring, sendto() with MSG_FASTOPEN, MPTCP sockets, and 32-bit
 * processes on a 64-bit kernel, whose calls have no tracepoints.
 */

/* The context of a program on syscalls:sys_exit_*, as perf_call_bpf_exit() in
 * kernel/trace/trace_syscalls.c makes it. */
struct syscall_exit {
	__u64 common;
	__u64 number;
	__s64 ret;
};

/* The first 24 bytes of a sockaddr_in or sockaddr_in6; a sockaddr_in ends after v4, with padding to
 * 16. */
struct sockaddr_head {
	__u16 family;
	__be16 port;
	__be32 v4; /* sin6_flowinfo */
	struct in6_addr v6;
};

enum {
	SOCKADDR_IN_SIZE = 16,
	SOCKADDR_IN6_SIZE = 24, /* sin6_scope_id may be left out: SIN6_LEN_RFC2133 */
};

/* bind() or connect(), at its end. */
struct call {
	struct sock *sk;
	struct sockaddr_head addr;
};

struct arguments {
	__u32 fd;
	const void *addr;
	__s32 size;
};

/* Before 5.15 the context begins with the address of the registers, which programs may not load,
 * but read. */
static __always_inline void *user_registers(struct syscall_exit *ctx)
{
	void *regs = NULL;

	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs))
		return (void *)bpf_task_pt_regs(bpf_get_current_task_btf());
	bpf_probe_read_kernel(&regs, sizeof(regs), ctx);
	return regs;
}

static __always_inline void read_arguments(struct arguments *a, struct syscall_exit *ctx)
{
	struct pt_regs___amd64 *amd64 = user_registers(ctx);
	struct pt_regs___arm64 *arm64 = (void *)amd64;

	if (bpf_core_field_exists(amd64->di)) {
		a->fd = BPF_CORE_READ(amd64, di);
		a->addr = (const void *)BPF_CORE_READ(amd64, si);
		a->size = BPF_CORE_READ(amd64, dx);
	} else if (bpf_core_field_exists(arm64->orig_x0)) {
		a->fd = BPF_CORE_READ(arm64, orig_x0);
		a->addr = (const void *)BPF_CORE_READ(arm64, regs[1]);
		a->size = BPF_CORE_READ(arm64, regs[2]);
	}
}

/* The TCP socket of a descriptor, or NULL. Another thread can have closed the descriptor by now, so
 * what it says is checked: the file and the socket must name each other. */
static __always_inline struct sock *tcp_socket(__u32 fd)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file *file = NULL, **slot = BPF_CORE_READ(table, fd);
	struct socket *socket;
	struct sock *sk;

	if (fd >= BPF_CORE_READ(table, max_fds))
		return NULL;
	bpf_probe_read_kernel(&file, sizeof(file), slot + fd);
	socket = BPF_CORE_READ(file, private_data);
	if (!file || BPF_CORE_READ(socket, file) != file)
		return NULL;
	sk = BPF_CORE_READ(socket, sk);
	/* a raw socket can have the protocol, too */
	if (BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP ||
	    BPF_CORE_READ(sk, sk_type) != SOCK_STREAM)
		return NULL;
	return sk;
}

/* Is there a whole address of the socket's family? Without one the call failed for that. */
static __always_inline bool read_address(struct sockaddr_head *addr, const struct arguments *a,
					 __u16 family)
{
	if (a->size < SOCKADDR_IN_SIZE || bpf_probe_read_user(addr, 8, a->addr) ||
	    addr->family != family)
		return false;
	if (family != AF_INET6)
		return family == AF_INET;
	return a->size >= SOCKADDR_IN6_SIZE &&
	       !bpf_probe_read_user(&addr->v6, sizeof(addr->v6), (const __u8 *)a->addr + 8);
}

static __always_inline bool read_call(struct call *c, struct syscall_exit *ctx)
{
	struct arguments a = {};
	struct sock *sk;

	read_arguments(&a, ctx);
	c->sk = sk = tcp_socket(a.fd);
	return sk && read_address(&c->addr, &a, BPF_CORE_READ(sk, __sk_common.skc_family));
}

static __always_inline bool is_v4(const struct sockaddr_head *addr)
{
	const __u32 *words = addr->v6.in6_u.u6_addr32;

	return addr->family == AF_INET || (!words[0] && !words[1] && words[2] == bpf_htonl(0xffff));
}

static __always_inline void copy_address(__u8 *to, const struct sockaddr_head *addr)
{
	if (addr->family == AF_INET)
		map_v4(to, addr->v4);
	else
		copy_v6(to, &addr->v6);
}

/* What both failures have in common. The calling process is the owner. */
static __always_inline void fill_failed_call(struct event *e, struct sock *sk, int error)
{
	e->time_ns = bpf_ktime_get_ns();
	e->direction = OUTBOUND;
	e->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	e->old_state = e->new_state = TCP_CLOSE;
	e->error = error;
	e->basis = EXACT;
	current_owner(&e->owner, OWNER_CONNECT);
}

SEC("tracepoint/syscalls/sys_exit_bind")
int sys_exit_bind(struct syscall_exit *ctx)
{
	int error = -ctx->ret;
	struct call c = {};
	struct event e = {};

	if (error != EADDRINUSE && error != EADDRNOTAVAIL)
		return 0;
	if (stopping || testing_port || !read_call(&c, ctx))
		return 0;
	e.kind = BIND_FAILED;
	fill_failed_call(&e, c.sk, error);
	copy_address(e.src, &c.addr);
	e.sport = bpf_ntohs(c.addr.port);
	if (error == EADDRNOTAVAIL)
		e.cause = NOT_LOCAL;
	else
		e.cause = c.addr.port ? PORT_TAKEN : PORTS_EXHAUSTED;
	send(&e);
	return 0;
}

/* The errors of a connect() that was refused before it became SYN_SENT, among others. */
static __always_inline bool is_refusal(int error)
{
	return error == ENETUNREACH || error == EHOSTUNREACH || error == ENETDOWN ||
	       error == EADDRNOTAVAIL || error == EACCES || error == EPERM || error == EINVAL;
}

/* Did the attempt come to SYN_SENT, so that inet_sock_set_state tells of its end? The socket says
 * it: one that never sent a SYN has no sequence number. A further attempt by a socket that has,
 * which is refused, is therefore not told: once too few is better than twice. (Map conns would
 * know, but is not for programs of this type: before 6.1 the kernel warns of memory allocated at
 * run time.) */
static __always_inline bool was_told(const struct call *c, int error)
{
	struct sock *sk = c->sk;
	struct tcp_sock *tp = (struct tcp_sock *)sk;

	/* no port was left, which comes after SYN_SENT; or IPv6 had no source address, and then has
	 * kept no route */
	if (error == EADDRNOTAVAIL)
		return is_v4(&c->addr) || BPF_CORE_READ(sk, sk_dst_cache);
	return BPF_CORE_READ(tp, write_seq);
}

/* EACCES is a route that prohibits, or as well a security module; EPERM a program on the cgroup or
 * seccomp. EINVAL is a route into a black hole, unless the address lacks its interface. */
static __always_inline __u8 cause_of(const struct call *c, int error)
{
	if (error == EACCES || error == EPERM)
		return 0;
	if (error == EINVAL && c->addr.family == AF_INET6 &&
	    (c->addr.v6.in6_u.u6_addr32[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000))
		return 0;
	return NO_ROUTE;
}

static __always_inline void fill_refused(struct event *e, const struct call *c, int error)
{
	struct sock *sk = c->sk;

	e->kind = CONNECT_FAILED;
	fill_failed_call(e, sk, error);
	copy_address(e->dst, &c->addr);
	e->dport = bpf_ntohs(c->addr.port);
	/* where bind() came before */
	if (is_v4(&c->addr))
		map_v4(e->src, BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr));
	else
		bpf_core_read(e->src, sizeof(e->src), &sk->__sk_common.skc_v6_rcv_saddr);
	e->sport = BPF_CORE_READ(sk, __sk_common.skc_num);
	e->cause = cause_of(c, error);
}

SEC("tracepoint/syscalls/sys_exit_connect")
int sys_exit_connect(struct syscall_exit *ctx)
{
	int error = -ctx->ret;
	struct call c = {};
	struct event e = {};
	struct sock *sk;

	if (!is_refusal(error) || stopping || testing_port || !read_call(&c, ctx))
		return 0;
	sk = c.sk;
	if (BPF_CORE_READ(sk, __sk_common.skc_state) != TCP_CLOSE || was_told(&c, error))
		return 0;
	fill_refused(&e, &c, error);
	send(&e);
	return 0;
}
