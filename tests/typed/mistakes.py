"""One mistake on each line that ends in a comment; mypy --strict and pyright flag exactly these."""

from matplotlib.figure import Figure

import keras_saliency
from keras_saliency import (
    Explainer,
    compare,
    explain,
    methods,
    predict_fixations,
    pretrained,
    ray,
    targets,
)

model = pretrained.efficientnet_lite0()
photo = pretrained.sample_photo()
e = explain(model, photo)
p = predict_fixations(photo)

explain(photo, model)  # mistake: swapped
explain("dog.jpg", model)  # mistake: swapped
explain(model, photo, traget=3)  # mistake: no such keyword
explain(model, photo, seed="one")  # mistake: a seed is a number
explain(model, photo, method=3)  # mistake: a method is a word or an object
explain(model, photo, target="espresso")  # mistake: a class is a number
explain(model, photo, preprocess="cafe")  # mistake: no such word
explain(model, 3)  # mistake: no picture
title: str = e.plot()  # mistake: a Figure
e.valeus  # mistake: values
e.plot("pear")  # mistake: no such kind
e.plot("overlay", colorbar=False)  # mistake: a keyword of the other kind
figure: Figure = e.save("run")  # mistake: a Path
methods.GradCam(relu="no")  # mistake: True or False
methods.IntegratedGradients(step=20)  # mistake: steps
methods.GradCAM()  # mistake: GradCam
targets.Class("espresso")  # mistake: a class is a number
targets.TopClass(score="logits")  # mistake: logit
predict_fixations(photo, mirror="yes")  # mistake: True or False
predict_fixations(3)  # mistake: no picture
p.plot(alpha=0.5)  # mistake: no such keyword
compare(model, photo, metrics=[3])  # mistake: a metric is a word or an object
compare(photo, model)  # mistake: swapped
compare(model, photo, method="gradient")  # mistake: methods
compare(model, photo, baseline=photo)  # mistake: a baseline is a word or numbers
targets.Region(box="0, 0, 9, 9")  # mistake: a box is numbers
targets.Contrast(3, others=photo)  # mistake: classes are numbers
p.expected_fixations(10, 3)  # mistake: a region is a box or a mask
keras_saliency.layer_tree("net.keras")  # mistake: a model, no path
ray.explain(None, 3)  # mistake: no model
e.values = p.values  # mistake: frozen
e.attributions.mean()  # mistake: None where a method has no channels
Explainer(model).stream(3)  # mistake: no stream
Explainer(model, seed="one")  # mistake: a seed is a number
Explainer(model, inputs=["age"], knid="table")  # mistake: no such keyword
explain(model, photo, inputs="all", seed="one")  # mistake: a seed is a number
keras_saliency.explian  # mistake: explain
keras_saliency.plot.overlays  # mistake: overlay
keras_saliency.metrics.curve  # mistake: curves
keras_saliency.fixation.FixationModels  # mistake: FixationModel
