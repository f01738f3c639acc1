"""Reports as pages: one self-contained file each, to be read without a network or a script."""

from gen_jax.report.html.pages import write_comparison, write_report

__all__ = ["write_comparison", "write_report"]
