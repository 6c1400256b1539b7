import sys

from benchmarks.stories.story_07_prices.judging import judge

judge(sys.argv[1], "parametrised.py")
