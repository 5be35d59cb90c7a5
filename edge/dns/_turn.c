/* One turn of a UDP port, and no Python where the answer is ready: recvmmsg(2), look up, sendmmsg(2).
 *
 * What edge/dns/udp.py does a packet at a time; it is used where this was not built, and who asks sees no difference but
 * in time: here trusted forwarders go first.
 *
 *     socket ──drain──▶ a trusted forwarder's ──────────────────────────▶ answered at once
 *                       from who may not ask ──▶ dropped and counted
 *                       everybody else's ──▶ the queue ──a few at a time──▶ answered
 *
 * Between two bites of the queue the socket is drained again, and a turn ends when nothing came. So a forwarder waits
 * for a bite of a flood, and not for what the flood has sent before it; and at full speed nobody has to be woken.
 *
 * Policy stays in edge.dns.desk. What a turn is given:
 *
 *     table[key]       an edge.dns.answer.Ready; the key: a packet from its fifth byte on, in lower case
 *     hosts[address]   FIRST: a trusted forwarder; READY: may have ready answers; ASK: Python decides; else: drop, and
 *                      count in this slot
 *     ports[port]      not 0: Python decides, whatever the address
 *     answer(packet, (host, port))   for everything else: the answer's bytes, or None
 *
 * A ready answer is written over its question: both begin alike, and the question stays where it is. So a reply is the
 * message that came in, with another length. Where the kernel told the address that was asked (IP_PKTINFO, RFC 3542
 * section 6), that goes back with it; the interface is cleared, and stays the routing table's choice.
 *
 * An exception costs one answer and is told on stderr. The GIL is kept: nothing here waits, and a worker has one thread.
 */

#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <arpa/inet.h>
#include <limits.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum {
    COUNT = 64,        /* packets a drain, and answers a turn: then the others get theirs, in under a millisecond */
    SLOTS = 5 * COUNT, /* a bite takes a quarter of the queue, which so never has more than four drains, plus the next */
    SLOT_BYTES = 4160, /* what is longer is cut: no query is. 65 cache lines, so that not all lie in the same sets */
    BITE = 16,         /* of the queue: so many ready answers, or a quarter of it through Python, are some 40 us */
    PYTHON = 4,        /* a packet that Python decides takes as long as so many that are ready */
    HEADER_BYTES = 12,
    KEY_AT = 4,
    HEAD_AT = 2, /* flags and counts, which are a ready answer's head */
    HEAD_BYTES = 10,
    ASK = -1,
    READY = -2,
    FIRST = -3,
    DROP = INT_MAX, /* and count nowhere */
};
enum { HEADS, QUESTION_END, TAIL, COUNTER, FIELDS }; /* of a Ready, which has more */

typedef union {
    struct sockaddr_in four;
    struct sockaddr_in6 six;
} Name;

/* One packet, from its arrival until its answer is sent. */
typedef struct {
    uint8_t bytes[SLOT_BYTES];
    union {
        struct cmsghdr first;
        uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
    } control;
    Name name;
    struct iovec iovec;
    struct msghdr head;
    Py_ssize_t size;
    long said;      /* of its source, by `hosts` */
    PyObject *wire; /* what Python answered, kept until it is sent */
} Slot;

typedef struct {
    PyObject_HEAD
    int fd, busy; /* busy: in a turn, which another one would pull the slots from under */
    Py_buffer counters;
    int spare_count, queued, oldest;
    Slot *spare[SLOTS]; /* a stack: the warm ones first */
    Slot *asked[COUNT]; /* where the next packets go */
    Slot *queue[SLOTS]; /* a ring */
    Slot *answered[COUNT];
    struct mmsghdr received[COUNT], replies[COUNT];
    Slot *slots;
} Port;

typedef struct {
    PyObject *table, *hosts, *answer;
    const uint8_t *ports;
} Terms;

/* What a turn has done: packets taken, packets decided (a Python one counts PYTHON times), answers that couldn't be
 * sent, and answers that wait to be. */
typedef struct {
    int taken, work, unsent, waiting;
} Turn;

/* ---- One packet ---- */

static int is_six(const Name *name) { return name->six.sin6_family == AF_INET6; }

static const void *address(const Name *name)
{
    return is_six(name) ? (const void *)&name->six.sin6_addr : (const void *)&name->four.sin_addr;
}

static uint16_t source_port(const Name *name) { return ntohs(name->four.sin_port); } /* sin6_port lies there too */

static void count(Port *port, Py_ssize_t counter)
{
    if (counter >= 0 && counter < port->counters.len / (Py_ssize_t)sizeof(uint64_t))
        ((uint64_t *)port->counters.buf)[counter]++;
}

/* The word in `hosts`; ASK with an exception set if there is none. */
static long judged(PyObject *hosts, const Name *name)
{
    PyObject *packed = PyBytes_FromStringAndSize(address(name), is_six(name) ? 16 : 4);
    PyObject *word = packed ? PyObject_GetItem(hosts, packed) : NULL;
    long said = word ? PyLong_AsLong(word) : ASK;
    Py_XDECREF(word);
    Py_XDECREF(packed);
    return said;
}

/* Borrowed; NULL if nothing is ready. The third byte has QR, the opcode, AA, TC and, alone allowed, RD. */
static PyObject *look_up(PyObject *table, const uint8_t *packet, Py_ssize_t bytes)
{
    if (bytes < HEADER_BYTES || packet[2] > 1)
        return NULL;
    PyObject *key = PyBytes_FromStringAndSize(NULL, bytes - KEY_AT);
    if (!key)
        return NULL;
    uint8_t *lower = (uint8_t *)PyBytes_AS_STRING(key);
    for (Py_ssize_t at = KEY_AT; at < bytes; at++)
        lower[at - KEY_AT] = packet[at] | (uint8_t)(packet[at] >= 'A' && packet[at] <= 'Z') << 5;
    PyObject *ready = PyDict_GetItemWithError(table, key);
    Py_DECREF(key);
    return ready;
}

/* Writes the answer over the packet. Its length; 0 for what is no Ready, or has no room. */
static Py_ssize_t write_over(uint8_t *packet, Py_ssize_t bytes, PyObject *ready)
{
    if (!PyTuple_Check(ready) || PyTuple_GET_SIZE(ready) < FIELDS)
        return 0;
    PyObject *heads = PyTuple_GET_ITEM(ready, HEADS), *tail = PyTuple_GET_ITEM(ready, TAIL);
    if (!PyTuple_Check(heads) || PyTuple_GET_SIZE(heads) != 2 || !PyBytes_Check(tail))
        return 0;
    PyObject *head = PyTuple_GET_ITEM(heads, packet[2]);
    Py_ssize_t end = PyLong_AsSsize_t(PyTuple_GET_ITEM(ready, QUESTION_END)), more = PyBytes_GET_SIZE(tail);
    if (!PyBytes_Check(head) || PyBytes_GET_SIZE(head) != HEAD_BYTES || end < HEADER_BYTES || end > bytes ||
        more > SLOT_BYTES - end)
        return 0;
    memcpy(packet + HEAD_AT, PyBytes_AS_STRING(head), HEAD_BYTES);
    memcpy(packet + end, PyBytes_AS_STRING(tail), (size_t)more);
    return end + more;
}

static Py_ssize_t ask(PyObject *answer, Slot *slot, Py_ssize_t bytes)
{
    char host[INET6_ADDRSTRLEN];
    inet_ntop(is_six(&slot->name) ? AF_INET6 : AF_INET, address(&slot->name), host, sizeof host);
    PyObject *wire = PyObject_CallFunction(answer, "y#(sH)", slot->bytes, bytes, host, source_port(&slot->name));
    if (!wire || !PyBytes_Check(wire)) {
        Py_XDECREF(wire);
        return 0;
    }
    slot->wire = wire;
    slot->iovec.iov_base = PyBytes_AS_STRING(wire);
    return PyBytes_GET_SIZE(wire);
}

/* The reply's length; 0: there is none. */
static Py_ssize_t respond(Port *port, const Terms *terms, Slot *slot, Turn *done)
{
    PyObject *ready = slot->said == READY || slot->said == FIRST ? look_up(terms->table, slot->bytes, slot->size) : NULL;
    Py_ssize_t size = ready ? write_over(slot->bytes, slot->size, ready) : 0;
    done->work += size ? 1 : PYTHON;
    if (size)
        count(port, PyLong_AsLong(PyTuple_GET_ITEM(ready, COUNTER)));
    return size || PyErr_Occurred() ? size : ask(terms->answer, slot, slot->size);
}

/* ---- Slots ---- */

static void spare(Port *port, Slot *slot)
{
    Py_CLEAR(slot->wire);
    port->spare[port->spare_count++] = slot;
}

/* Readies slots for the next packets, in place of those that took the last `count`. */
static void arm(Port *port, int count)
{
    for (int at = 0; at < count; at++) {
        Slot *slot = port->asked[at] = port->spare[--port->spare_count];
        slot->iovec = (struct iovec){slot->bytes, SLOT_BYTES};
        port->received[at].msg_hdr = (struct msghdr){
            .msg_name = &slot->name, .msg_namelen = sizeof slot->name,
            .msg_iov = &slot->iovec, .msg_iovlen = 1,
            .msg_control = &slot->control, .msg_controllen = sizeof slot->control,
        };
    }
}

static void wait_in_queue(Port *port, Slot *slot)
{
    port->queue[(port->oldest + port->queued++) % SLOTS] = slot;
}

static Slot *next_in_queue(Port *port)
{
    Slot *slot = port->queue[port->oldest];
    port->oldest = (port->oldest + 1) % SLOTS;
    port->queued--;
    return slot;
}

/* ---- One turn ---- */

static void forget_interface(struct msghdr *head)
{
    struct cmsghdr *control = CMSG_FIRSTHDR(head);
    if (control && control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO)
        ((struct in_pktinfo *)CMSG_DATA(control))->ipi_ifindex = 0;
    if (control && control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO)
        ((struct in6_pktinfo *)CMSG_DATA(control))->ipi6_ifindex = 0;
}

/* The replies that wait. One that can't be sent (no room, or no route) stops sendmmsg, and is passed over. */
static void send_all(Port *port, Turn *done)
{
    for (int start = 0; start < done->waiting; start++) {
        int sent = sendmmsg(port->fd, port->replies + start, (unsigned)(done->waiting - start), MSG_DONTWAIT);
        start += sent > 0 ? sent : 0;
        done->unsent += start < done->waiting;
    }
    while (done->waiting)
        spare(port, port->answered[--done->waiting]);
}

static void decide(Port *port, const Terms *terms, Slot *slot, Turn *done)
{
    size_t size = (size_t)respond(port, terms, slot, done);
    if (PyErr_Occurred())
        PyErr_WriteUnraisable(terms->answer);
    if (!size) {
        spare(port, slot);
        return;
    }
    slot->iovec.iov_len = size;
    forget_interface(&slot->head);
    port->replies[done->waiting].msg_hdr = slot->head;
    port->answered[done->waiting++] = slot;
}

/* Who it is from decides when it is answered, if at all. */
static void admit(Port *port, const Terms *terms, Slot *slot, Turn *done)
{
    slot->said = terms->ports[source_port(&slot->name)] ? ASK : judged(terms->hosts, &slot->name);
    if (PyErr_Occurred())
        PyErr_WriteUnraisable(terms->hosts), slot->said = DROP;
    if (slot->said == FIRST) {
        decide(port, terms, slot, done);
    } else if (slot->said < 0) {
        wait_in_queue(port, slot);
    } else {
        count(port, slot->said);
        spare(port, slot);
    }
}

/* Takes what has arrived, and answers the trusted. How many came. */
static int drain(Port *port, const Terms *terms, Turn *done)
{
    int came = recvmmsg(port->fd, port->received, COUNT, MSG_DONTWAIT, NULL);
    came = came < 0 ? 0 : came;
    for (int at = 0; at < came; at++) {
        Slot *slot = port->asked[at];
        slot->size = port->received[at].msg_len;
        slot->head = port->received[at].msg_hdr;
        admit(port, terms, slot, done);
    }
    send_all(port, done);
    arm(port, came);
    done->taken += came;
    return came;
}

/* A quarter of a long queue: it would grow else, for as long as more is drained at once than a bite takes. */
static void bite(Port *port, const Terms *terms, Turn *done)
{
    int enough = done->work + BITE, shorter = port->queued - port->queued / 4;
    while (port->queued && (done->work < enough || port->queued > shorter))
        decide(port, terms, next_in_queue(port), done);
    send_all(port, done);
}

static PyObject *turn(PyObject *self, PyObject *arguments)
{
    Port *port = (Port *)self;
    Terms terms;
    Turn done = {0};
    Py_ssize_t ports;
    if (!PyArg_ParseTuple(arguments, "O!O!y#O:turn", &PyDict_Type, &terms.table, &PyDict_Type, &terms.hosts,
                          &terms.ports, &ports, &terms.answer))
        return NULL;
    if (ports != 65536)
        return PyErr_Format(PyExc_ValueError, "ports has %zd bytes, not one for each of 65536", ports);
    if (port->busy)
        return PyErr_Format(PyExc_RuntimeError, "a turn within a turn of the same port");
    port->busy = 1;
    int came;
    do {
        came = drain(port, &terms, &done);
        bite(port, &terms, &done);
    } while (done.work < COUNT && done.taken < SLOTS && (port->queued || came));
    port->busy = 0;
    return Py_BuildValue("iiO", done.taken, done.unsent, port->queued || came == COUNT ? Py_True : Py_False);
}

/* ---- The type ---- */

static PyObject *new_port(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords))
{
    int fd;
    Py_buffer counters;
    if (!PyArg_ParseTuple(arguments, "iw*:Port", &fd, &counters))
        return NULL;
    Port *port = (Port *)type->tp_alloc(type, 0);
    if (!port) {
        PyBuffer_Release(&counters);
        return NULL;
    }
    port->fd = fd;
    port->counters = counters;
    port->slots = PyMem_RawCalloc(SLOTS, sizeof(Slot));
    if (!port->slots) {
        Py_DECREF(port);
        return PyErr_NoMemory();
    }
    for (int number = SLOTS; number--;)
        spare(port, &port->slots[number]);
    arm(port, COUNT);
    return (PyObject *)port;
}

static void free_port(PyObject *self)
{
    Port *port = (Port *)self;
    PyTypeObject *type = Py_TYPE(self);
    while (port->queued)
        spare(port, next_in_queue(port));
    PyMem_RawFree(port->slots);
    PyBuffer_Release(&port->counters);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"turn", turn, METH_VARARGS, "turn(table, hosts, ports, answer): packets taken, replies not sent, and whether there is more to do."},
    {NULL, NULL, 0, NULL},
};
static PyType_Slot type_slots[] = {
    {Py_tp_new, new_port}, {Py_tp_dealloc, free_port}, {Py_tp_methods, methods},
    {Py_tp_doc, "Port(fd, counters): of a UDP socket that outlives it."}, {0, NULL},
};
static PyType_Spec type_spec = {"edge.dns._turn.Port", sizeof(Port), 0, Py_TPFLAGS_DEFAULT, type_slots};

static int execute(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &type_spec, NULL);
    int failed = !type || PyModule_AddType(module, (PyTypeObject *)type) < 0;
    Py_XDECREF(type);
    return failed || PyModule_AddIntMacro(module, COUNT) < 0 ? -1 : 0;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, execute}, {0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "edge.dns._turn", .m_slots = module_slots};

PyMODINIT_FUNC PyInit__turn(void) { return PyModuleDef_Init(&module); }
