"""The sections of RESULTS.md. Each has TITLE; `measure(bench)` gives data that JSON can hold, `write(data)` Markdown,
`goals(data)` the goals it decides, and `bars(data)` what the plot shows of it."""

from . import connect, deflate, echo, fanout, flat, flood, idle, rate, syscalls

ALL = {
    "echo": echo,
    "deflate": deflate,
    "fanout": fanout,
    "rate": rate,
    "idle": idle,
    "connect": connect,
    "flat": flat,
    "syscalls": syscalls,
    "flood": flood,
}
