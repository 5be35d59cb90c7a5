/* One turn of a UDP port, and no Python where the answer is ready: recvmmsg(2), look up, sendmmsg(2).
 *
 * What edge/dns/udp.py does a packet at a time; it is used where this was not built, and who asks sees no difference.
 * Policy stays in edge.dns.desk. What a turn is given:
 *
 *     table[key]       an edge.dns.answer.Ready; the key: a packet from its fifth byte on, in lower case
 *     hosts[address]   READY: may have ready answers; ASK: Python decides; else: drop, and count in this slot
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
#include <netinet/in.h>
#include <sys/socket.h>

enum {
    COUNT = 64,        /* before the others get their turn: under a millisecond of ready answers */
    SLOT_BYTES = 4160, /* what is longer is cut: no query is. 65 cache lines, so that not all lie in the same sets */
    HEADER_BYTES = 12,
    KEY_AT = 4,
    HEAD_AT = 2, /* flags and counts, which are a ready answer's head */
    HEAD_BYTES = 10,
    ASK = -1,
    READY = -2,
};
enum { HEADS, QUESTION_END, TAIL, COUNTER, FIELDS }; /* of a Ready, which has more */

typedef union {
    struct sockaddr_in four;
    struct sockaddr_in6 six;
} Name;

typedef struct {
    uint8_t bytes[SLOT_BYTES];
    union {
        struct cmsghdr first;
        uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
    } control;
    Name name;
    struct iovec iovec;
    PyObject *wire; /* what Python answered, kept until it is sent */
} Slot;

typedef struct {
    PyObject_HEAD
    int fd;
    Py_buffer counters;
    struct mmsghdr asked[COUNT], replies[COUNT];
    Slot slots[COUNT];
} Port;

typedef struct {
    PyObject *table, *hosts, *answer;
    const uint8_t *ports;
} Terms;

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
static Py_ssize_t respond(Port *port, const Terms *terms, Slot *slot, Py_ssize_t bytes)
{
    long said = terms->ports[source_port(&slot->name)] ? ASK : judged(terms->hosts, &slot->name);
    PyObject *ready = said == READY ? look_up(terms->table, slot->bytes, bytes) : NULL;
    Py_ssize_t size = ready ? write_over(slot->bytes, bytes, ready) : 0;
    if (size)
        said = PyLong_AsLong(PyTuple_GET_ITEM(ready, COUNTER));
    if (said >= 0)
        count(port, said);
    return size || said >= 0 || PyErr_Occurred() ? size : ask(terms->answer, slot, bytes);
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

static int respond_all(Port *port, const Terms *terms, int received)
{
    int waiting = 0;
    for (int number = 0; number < received; number++) {
        Slot *slot = &port->slots[number];
        size_t size = (size_t)respond(port, terms, slot, port->asked[number].msg_len);
        if (PyErr_Occurred())
            PyErr_WriteUnraisable(terms->answer);
        if (!size)
            continue;
        slot->iovec.iov_len = size;
        forget_interface(&port->asked[number].msg_hdr);
        port->replies[waiting++] = port->asked[number];
    }
    return waiting;
}

/* How many could not be sent: no room, or no route. The call stops at such a one. */
static int send_all(Port *port, int waiting)
{
    int unsent = 0;
    for (int start = 0; start < waiting; start++) {
        int sent = sendmmsg(port->fd, port->replies + start, (unsigned)(waiting - start), MSG_DONTWAIT);
        start += sent > 0 ? sent : 0;
        unsent += start < waiting;
    }
    return unsent;
}

static void make_room(Port *port, int slots)
{
    for (int number = 0; number < slots; number++) {
        Slot *slot = &port->slots[number];
        Py_CLEAR(slot->wire);
        slot->iovec = (struct iovec){slot->bytes, SLOT_BYTES};
        port->asked[number].msg_hdr = (struct msghdr){
            .msg_name = &slot->name, .msg_namelen = sizeof slot->name,
            .msg_iov = &slot->iovec, .msg_iovlen = 1,
            .msg_control = &slot->control, .msg_controllen = sizeof slot->control,
        };
    }
}

static PyObject *turn(PyObject *self, PyObject *arguments)
{
    Port *port = (Port *)self;
    Terms terms;
    Py_ssize_t ports;
    if (!PyArg_ParseTuple(arguments, "O!O!y#O:turn", &PyDict_Type, &terms.table, &PyDict_Type, &terms.hosts,
                          &terms.ports, &ports, &terms.answer))
        return NULL;
    if (ports != 65536)
        return PyErr_Format(PyExc_ValueError, "ports has %zd bytes, not one for each of 65536", ports);
    int received = recvmmsg(port->fd, port->asked, COUNT, MSG_DONTWAIT, NULL);
    received = received < 0 ? 0 : received;
    int unsent = send_all(port, respond_all(port, &terms, received));
    make_room(port, received);
    return Py_BuildValue("ii", received, unsent);
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
    make_room(port, COUNT);
    return (PyObject *)port;
}

static void free_port(PyObject *self)
{
    Port *port = (Port *)self;
    PyTypeObject *type = Py_TYPE(self);
    make_room(port, COUNT);
    PyBuffer_Release(&port->counters);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"turn", turn, METH_VARARGS, "turn(table, hosts, ports, answer): packets received, and replies not sent."},
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
