"""What every method must satisfy, as functions: for authors of methods.

`check_method` runs the laws over a method, on small networks that they bring with them. It needs no
pytest; with pytest, a test for each law is ``@pytest.mark.parametrize("law", LAWS)`` around
``check_method(method, laws=law)``. Each law of `LAWS` is a function whose docstring says what it
demands:

==========================================  ========================================================
``image_sized_finite_float32``              a finite float32 map for each picture, not all 0
``same_seed_same_map``                      to the last bit
``another_seed_another_map_if_stochastic``  as ``stochastic`` claims
``batch_is_singles``                        a picture's map does not depend on the others
``micro_batch_changes_nothing``             nor on ``batch_size``
``model_left_as_found``                     weights, flags and attributes of every layer
``nested_is_flat``                          a model in a model in a model has the same map
``exact_on_linear``                         the map on a linear network; ``on_linear``, ``on_cam``
``dead_pixel_gets_zero``                    where the score ignores a pixel, as ``local`` claims
``complete_where_claimed``                  attributions sum to the change in score
``unsigned_is_non_negative``                as ``signed`` claims
``gradient_free_where_claimed``             as ``needs_gradient`` claims
``channels_first_is_channels_last``         the layout of a network changes nothing
``save_and_load_round_trip``                what is loaded is what was saved
``foreign_inputs_change_nothing``           another input has no part in the map
``layer_is_reached_and_reaches``            the layer of a CAM lies between picture and score
``another_run_is_a_fresh_run``              earlier pictures leave nothing behind
==========================================  ========================================================

=============  ====================================================================================
`check`        `check_method`, `LawResult`; `LAWS`, and which methods each concerns
`claims`       `Case`, the comparisons that laws consist of, the laws about what a method claims
`invariances`  the laws about what must not change a map
`networks`     convolutional networks with known weights, in many shapes; networks for other inputs
`attention`    vision transformers in the same shapes
=============  ====================================================================================

The idea is scikit-learn's ``check_estimator`` with ``expected_failed_checks``. Completeness is that
of Sundararajan, Taly, Yan: Axiomatic Attribution for Deep Networks, 2017, arXiv:1703.01365; that
ignored pixels get 0 is their sensitivity (b).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_saliency.config import attach
from keras_saliency.testing.check import LAWS, LawResult, check_method
from keras_saliency.testing.claims import Case

__all__ = ["LAWS", "Case", "LawResult", "check_method"]

if not TYPE_CHECKING:  # where every name would be known
    __getattr__, __dir__ = attach(__name__, {})
