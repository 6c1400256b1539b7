"""A scene; `scene.py` tells what is played."""
