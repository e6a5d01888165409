/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The few kernel types that tcpstate reads, by hand: only the fields that are read, in no
 * particular order. CO-RE finds each by name in the BTF of the kernel that runs (also inside
 * anonymous unions), so one object serves Linux 5.10 to the newest on amd64 and arm64. What came,
 * went or changed its type has flavours (___suffix), each with its version.
 */
#ifndef TCPSTATE_KERNEL_H
#define TCPSTATE_KERNEL_H

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u32 __wsum;
#define NULL ((void *)0)

typedef _Bool bool;

enum {
	false = 0,
	true = 1,
};

_Static_assert(sizeof(__u8) == 1 && sizeof(__u16) == 2, "small integers");
_Static_assert(sizeof(__u32) == 4 && sizeof(__u64) == 8, "large integers");

/* include/uapi/linux/bpf.h */
enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
};

enum {
	BPF_F_NO_PREALLOC = 1,
};

enum {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
};

enum {
	BPF_RB_NO_WAKEUP = 1,
	BPF_RB_FORCE_WAKEUP = 2,
};

enum {
	BPF_RB_AVAIL_DATA = 0,
};

/* include/net/tcp_states.h */
enum tcp_state {
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT = 2,
	TCP_SYN_RECV = 3,
	TCP_FIN_WAIT1 = 4,
	TCP_FIN_WAIT2 = 5,
	TCP_TIME_WAIT = 6,
	TCP_CLOSE = 7,
	TCP_CLOSE_WAIT = 8,
	TCP_LAST_ACK = 9,
	TCP_LISTEN = 10,
	TCP_CLOSING = 11,
	TCP_NEW_SYN_RECV = 12,
};

enum {
	AF_INET = 2, /* include/linux/socket.h */
	AF_INET6 = 10,
	IPPROTO_TCP = 6,	 /* include/uapi/linux/in.h */
	SHUTDOWN_MASK = 3,	 /* include/net/sock.h: both ways */
	PF_KTHREAD = 0x00200000, /* include/linux/sched.h */
	S_IFMT = 0170000,	 /* include/uapi/linux/stat.h */
	S_IFSOCK = 0140000,
	SOCK_STREAM = 1, /* include/linux/net.h */
};

/* include/uapi/asm-generic/errno-base.h and errno.h */
enum {
	EPERM = 1,
	EACCES = 13,
	EINVAL = 22,
	EADDRINUSE = 98,
	EADDRNOTAVAIL = 99,
	ENETDOWN = 100,
	ENETUNREACH = 101,
	EHOSTUNREACH = 113,
};

/* include/uapi/linux/bpf.h. bpf_task_pt_regs() came with 5.15. */
enum bpf_func_id {
	BPF_FUNC_task_pt_regs = 175,
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* include/net/sock.h */
enum sock_flags {
	SOCK_DEAD,
	SOCK_DONE,
};

struct hlist_nulls_node {
	struct hlist_nulls_node *next;
	struct hlist_nulls_node **pprev;
};

struct hlist_nulls_head {
	struct hlist_nulls_node *first;
};

struct in6_addr {
	union {
		__u8 u6_addr8[16];
		__be32 u6_addr32[4];
	} in6_u;
};

struct hlist_node {
	struct hlist_node *next;
	struct hlist_node **pprev;
};

struct hlist_head {
	struct hlist_node *first;
};

struct inet_ehash_bucket {
	struct hlist_nulls_head chain;
};

struct inet_bind_hashbucket {
	struct hlist_head chain;
};

struct inet_hashinfo {
	struct inet_ehash_bucket *ehash;
	unsigned int ehash_mask;
	struct inet_bind_hashbucket *bhash;
	unsigned int bhash_size;
};

typedef struct {
	int counter;
} atomic_t;

typedef struct refcount_struct {
	atomic_t refs;
} refcount_t;

/* include/net/netns/ipv4.h. tw_refcount counts one more than there are timewait sockets;
 * before 5.18 it was tw_count. */
struct inet_timewait_death_row {
	struct inet_hashinfo *hashinfo;
	int sysctl_max_tw_buckets;
	refcount_t tw_refcount;
};

struct inet_timewait_death_row___before_5_18 {
	atomic_t tw_count;
};

struct netns_ipv4___before_5_18 {
	struct inet_timewait_death_row___before_5_18 tcp_death_row;
};

struct net___before_5_18 {
	struct netns_ipv4___before_5_18 ipv4;
};

struct netns_ipv4 {
	struct inet_timewait_death_row tcp_death_row;
};

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
	struct netns_ipv4 ipv4;
	__u32 hash_mix;
};

/* 5.18 to 6.0 kept the death row outside. */
struct netns_ipv4___from_5_18 {
	struct inet_timewait_death_row *tcp_death_row;
};

struct net___from_5_18 {
	struct netns_ipv4___from_5_18 ipv4;
};

typedef struct {
	struct net *net;
} possible_net_t;

/* include/net/sock.h: what a socket and a timewait socket have in common. */
struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	unsigned int skc_hash;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	unsigned long skc_flags;
	struct hlist_nulls_node skc_nulls_node;
};

struct kernfs_node {
	__u64 id;
};

struct cgroup {
	struct kernfs_node *kn;
};

/* include/linux/cgroup-defs.h: a pointer since 5.15, before that a word that is one when its lowest
 * bit is clear. */
struct sock_cgroup_data {
	struct cgroup *cgroup;
};

struct sock_cgroup_data___before_5_15 {
	__u64 val;
};

struct sock {
	struct sock_common __sk_common;
	__u16 sk_protocol;
	__u16 sk_type;
	struct dst_entry *sk_dst_cache;
	__u8 sk_shutdown;
	int sk_err;
	struct sock_cgroup_data sk_cgrp_data;
};

/* local_port_range is IP_LOCAL_PORT_RANGE (6.3, and backported): 0 when it is not set. It was two
 * __u16 at first. */
struct inet_sock {
	struct sock sk;
	__be16 inet_sport;
	__u32 local_port_range;
};

struct inet_sock___before_6_9 {
	struct {
		__u16 lo;
		__u16 hi;
	} local_port_range;
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
};

/* include/linux/tcp.h; data and payload counters are those of RFC 4898. lsndtime: jiffies of the
 * last data sent. */
struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u64 bytes_received;
	__u64 bytes_sent;
	__u64 bytes_retrans;
	__u32 segs_in;
	__u32 segs_out;
	__u32 data_segs_in;
	__u32 data_segs_out;
	__u32 total_retrans;
	__u32 lsndtime;
	__u32 write_seq;
	__u64 tcp_clock_cache;
};

/* include/linux/timer_types.h. expires is in jiffies; entry.pprev is NULL when it does not run. */
struct timer_list {
	struct hlist_node entry;
	unsigned long expires;
	void (*function)(struct timer_list *timer);
};

/* include/net/inet_timewait_sock.h */
struct inet_timewait_sock {
	struct sock_common __tw_common;
	volatile unsigned char tw_substate;
	__be16 tw_sport;
	struct timer_list tw_timer;
};

/* include/linux/tcp.h. tw_ts_recent_stamp is 0 where timestamps were not in use; it was a long. */
struct tcp_timewait_sock {
	struct inet_timewait_sock tw_sk;
	int tw_ts_recent_stamp;
};

/* include/net/inet_hashtables.h: who has a local port. Both reuse marks are -1 while only connect()
 * has. */
struct inet_bind_bucket {
	possible_net_t ib_net;
	unsigned short port;
	signed char fastreuse;
	signed char fastreuseport;
	struct hlist_node node;
};

struct files_struct;

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct nsproxy {
	struct net *net_ns;
};

struct task_struct {
	struct task_struct *group_leader;
	struct css_set *cgroups;
	struct nsproxy *nsproxy;
	struct files_struct *files;
	unsigned int flags;
	int tgid;
	char comm[16];
};

struct inode {
	unsigned short i_mode;
};

struct file {
	struct inode *f_inode;
	void *private_data;
};

/* include/linux/net.h */
struct socket {
	struct sock *sk;
	struct file *file;
};

/* include/linux/fdtable.h */
struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

/* The registers with which user space entered the kernel. */
struct pt_regs___amd64 {
	unsigned long di;
	unsigned long si;
	unsigned long dx;
};

struct pt_regs___arm64 {
	__u64 regs[31];
	__u64 orig_x0; /* regs[0] has the result by then */
};

struct seq_file {
	unsigned long size;
	unsigned long count;
};

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 session_id;
	__u64 seq_num;
};

/* kernel/bpf/map_iter.c: the context of an iter/bpf_map_elem program; key and value are NULL once,
 * at the end. */
struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	void *key;
	void *value;
};

/* net/ipv4/tcp_ipv4.c: a socket of the reader's network namespace, of whatever kind. */
struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
};

/* kernel/bpf/task_iter.c: an open file of a task of the reader's pid namespace. */
struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u32 fd;
	struct file *file;
};

#pragma clang attribute pop

#endif
