"""torch, JAX and NumPy behind one set of names, for peers.py.

A framework is made for a device, "cpu" or "cuda", and throws where that is missing. What differs
between devices stands in few functions: `wait(result)` returns when the work so far is done,
`memory()` is what arrays may still take, in bytes, `set_tf32(on)` decides how float matrices are
multiplied, and `graphed(function)` captures a CUDA graph; it is None where there are none.
"""

import functools
import os
import time
from types import SimpleNamespace

import numpy as np

RATE = 1e-4  # small: the net stays what it is while its steps are timed
CORES = len(os.sched_getaffinity(0))


def host_memory():
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def torch_framework(device):
    import torch

    def gradient(loss, net):
        net = [p.detach().requires_grad_() for p in net]
        with torch.enable_grad():
            return torch.autograd.grad(loss(net), net)

    torch.set_num_threads(CORES)
    on = functools.partial(functools.partial, device=device)
    return SimpleNamespace(
        name=f"torch {torch.__version__}", array=on(torch.tensor), eye=on(torch.eye),
        full=on(torch.full), relu=torch.relu, softmax=lambda z: z.softmax(1),
        linear=torch.nn.functional.linear, cross_entropy=torch.nn.functional.cross_entropy,
        gradient=gradient, vmap=torch.func.vmap, grad=torch.func.grad,
        cholesky_solve=lambda l, b: torch.cholesky_solve(b[:, None], l)[:, 0],
        triangular_solve=lambda l, b: torch.linalg.solve_triangular(l, b, upper=False),
        # Unlike `cholesky` it does not wait for the device to say whether the matrix was definite.
        cholesky=lambda k: torch.linalg.cholesky_ex(k).L,
        descend=lambda p, d: p.sub_(d, alpha=RATE), numpy=lambda a: a.cpu().numpy(),
        compiled=lambda function, donate=(): torch.no_grad()(function),
        **(torch_on_cuda(torch) if device == "cuda" else torch_on_cpu()))


def torch_on_cpu():
    return {"device": f"{CORES} CPU cores", "wait": lambda result: None, "memory": host_memory,
            "set_tf32": lambda on: None, "graphed": None}


def torch_on_cuda(torch):
    def set_tf32(on):
        matmul = torch.backends.cuda.matmul
        if hasattr(matmul, "fp32_precision"):  # torch >= 2.9, which warns of the other
            matmul.fp32_precision = "tf32" if on else "ieee"
        else:
            matmul.allow_tf32 = on

    def memory():
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info()[0]

    def graphed(function):
        """Captures the first call; every call replays that, on the operands of the first."""
        graph, side, held = torch.cuda.CUDAGraph(), torch.cuda.Stream(), []

        def run(*operands):
            if not held:
                side.wait_stream(torch.cuda.current_stream())
                with torch.cuda.stream(side):
                    for _ in range(2):  # handles and workspaces of this stream are made here
                        function(*operands)
                    with torch.cuda.graph(graph, stream=side):
                        result = function(*operands)
                torch.cuda.current_stream().wait_stream(side)
                held.append(result)
            graph.replay()
            return held[0]

        return run

    return {"device": torch.cuda.get_device_name(), "memory": memory, "set_tf32": set_tf32,
            "wait": lambda result: torch.cuda.synchronize(), "graphed": graphed}


def jax_framework(device):
    os.environ.setdefault("JAX_PLATFORMS", device)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # others need memory, too
    import jax
    from jax.scipy import linalg

    def memory():
        if device == "cpu":
            return host_memory()
        stats = jax.devices()[0].memory_stats()
        return stats["bytes_limit"] - stats["bytes_in_use"]

    def set_tf32(on):
        jax.config.update("jax_default_matmul_precision", "tensorfloat32" if on else "highest")

    # The data must be operands of what is compiled: were they constants, XLA would multiply them
    # while compiling.
    return SimpleNamespace(
        name=f"JAX {jax.__version__}", array=jax.numpy.array, eye=jax.numpy.eye,
        full=jax.numpy.full, relu=jax.nn.relu, softmax=jax.nn.softmax,
        linear=lambda x, w, b: x @ w.T + b,
        cross_entropy=lambda z, t: -(t * jax.nn.log_softmax(z)).sum(-1).mean(),
        gradient=lambda loss, net: jax.grad(loss)(net), vmap=jax.vmap, grad=jax.grad,
        cholesky_solve=lambda l, b: linalg.cho_solve((l, True), b),
        triangular_solve=lambda l, b: linalg.solve_triangular(l, b, lower=True),
        cholesky=jax.numpy.linalg.cholesky, descend=lambda p, d: p - RATE * d, numpy=np.asarray,
        compiled=lambda function, donate=(): jax.jit(function, donate_argnums=donate),
        device=jax.devices()[0].device_kind, wait=jax.block_until_ready, memory=memory,
        set_tf32=set_tf32, graphed=None)


def numpy_framework(device):
    from scipy import linalg

    return SimpleNamespace(
        name=f"NumPy {np.__version__}", array=np.array, eye=lambda n: np.eye(n, dtype=np.float32),
        cholesky=np.linalg.cholesky, cholesky_solve=lambda l, b: linalg.cho_solve((l, True), b),
        triangular_solve=lambda l, b: linalg.solve_triangular(l, b, lower=True), numpy=np.asarray,
        compiled=lambda function: function, wait=lambda result: None)


def seconds(fw, step, count=1):
    """Wall-clock time of one of `count` steps that are enqueued before one waits for the last."""
    start = time.perf_counter()
    for _ in range(count):
        result = step()
    fw.wait(result)
    return (time.perf_counter() - start) / count
