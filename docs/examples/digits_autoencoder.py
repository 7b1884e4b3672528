"""A variational autoencoder of handwritten digits: amortized inference, from data to pictures.

Each image has two numbers of its own, ``z``. Their posterior is not fitted image by image: an
encoder, a small neural network, computes it from the image. Encoder and decoder are trained
together on minibatches (Kingma and Welling 2014, arXiv:1312.6114).

Run it with ``python docs/examples/digits_autoencoder.py``; it needs scikit-learn and matplotlib.
"""

# %% Handwritten digits: 8 x 8 pixels, each a count from 0 to 16
import numpy as np
import pytensor
import pytensor.tensor as pt
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

import vibayes as vb

images = load_digits().data
order = np.random.default_rng(1).permutation(len(images))
train, test = images[order[:1400]], images[order[1400:]]
BATCH, LATENT, HIDDEN = 100, 2, 64


# %% Two small neural networks
def layer(rng, inputs, outputs, name):
    """Return the weights and the bias of a layer."""
    weights = rng.normal(0, np.sqrt(1 / inputs), (inputs, outputs))
    return [
        pytensor.shared(vb.floatX(weights), name=f"{name}_weights"),
        pytensor.shared(vb.floatX(np.zeros(outputs)), name=f"{name}_bias"),
    ]


rng = np.random.default_rng(2)
encoder = [layer(rng, 64, HIDDEN, "encoder"), layer(rng, HIDDEN, 2 * LATENT, "code")]
decoder = [layer(rng, LATENT, HIDDEN, "decoder"), layer(rng, HIDDEN, 64, "pixels")]


def network(x, layers):
    """Return what two layers make of the rows of a matrix."""
    (W1, b1), (W2, b2) = layers
    return pt.tanh(x @ W1 + b1) @ W2 + b2


# %% The model: two normal numbers an image, decoded to a probability for each pixel
x = vb.Minibatch(train, batch_size=BATCH)

with vb.Model() as model:
    z = vb.Normal("z", 0, 1, shape=(BATCH, LATENT), total_size=(len(train), None))
    p = pt.sigmoid(network(z, decoder))
    vb.Binomial("pixels", n=16, p=p, observed=x, total_size=(len(train), None))

    code = network(x / 16, encoder)
    inference = vb.ADVI(local_rv={z: (code[:, :LATENT], code[:, LATENT:])}, random_seed=3)

# %% Train both networks
approx = inference.fit(
    6000,
    obj_optimizer=vb.adam(learning_rate=3e-3),
    more_obj_params=[v for parts in (encoder, decoder) for layer in parts for v in layer],
    progressbar=False,
)

# %% Images that it has not seen, encoded and decoded
mean_pixels = 16 * approx.sample_node(p, deterministic=True, more_replacements={x: test})
decoded = mean_pixels.eval()
pca = PCA(LATENT).fit(train)
by_pca = pca.inverse_transform(pca.transform(test))


def unexplained(reconstruction):
    """Return the share of the test images' variance that a reconstruction leaves."""
    return ((test - reconstruction) ** 2).sum() / ((test - train.mean(axis=0)) ** 2).sum()


shares = {"autoencoder": unexplained(decoded), "PCA": unexplained(by_pca)}

# %% Pictures
if __name__ == "__main__":
    import matplotlib.pyplot as plt

    for name, share in shares.items():
        print(f"{name}: {share:.0%} of the variance of unseen images is left, by {LATENT} numbers")
    rows = {"image": test, "autoencoder": decoded, "PCA": by_pca}
    fig, axes = plt.subplots(3, 10, figsize=(10, 3.4))
    for (name, pictures), line in zip(rows.items(), axes, strict=True):
        line[0].set_ylabel(name, fontsize="small")
        for picture, ax in zip(pictures, line, strict=False):
            ax.imshow(picture.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
            ax.set(xticks=[], yticks=[])
    fig.tight_layout()
    fig.savefig("digits.png", dpi=120)
