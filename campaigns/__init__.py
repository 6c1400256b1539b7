"""Fault campaigns: break Bursar while it works, then prove its books; and prove the proof."""
