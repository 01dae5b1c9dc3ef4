"""The embedded source of pairs: it animates a portrait picture on a known script, as it is and edited.

The two halves are in sync by construction, and what every frame shows is known; some pairs are made bad on purpose.
"""

from synclora.pairs.puppet.settings import PuppetSettings
from synclora.pairs.puppet.source import PuppetPairs

__all__ = ["PuppetPairs", "PuppetSettings"]
