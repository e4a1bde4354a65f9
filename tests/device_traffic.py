"""What each public call moves between a device and the host at most, forward and then backward.

Downloads are the values that a kernel or a check on the host needs, uploads its integers and what is made of
labels; reads are single numbers, and sizes results as long as values decide: these wait for the device, too.
No number grows with the batch. What is above six has its reason: a check of each part that is handed in, or
of each of several layers or dimensions (`IntervalModules`, `EulerCharacteristicTransform`,
`HiddenStateGeometry`, `SimplicialWalkConv`), several public functions in one call (`closeness`, `barycentre`,
the layers of graphs), or signs beside the integers of each dimension (`HodgeEncoding`).
"""

from collections import Counter

__all__ = ["TRAFFIC", "counted"]

_CALLS = {
    "2 downloads 1 uploads": (
        "metrics.adjusted_rand_index metrics.average_surface_distance metrics.betti_error "
        "metrics.betti_matching_error metrics.cldice_score metrics.component_scores metrics.dice_score "
        "metrics.diu metrics.hausdorff_distance_95 metrics.surface_dice metrics.topology_errors "
        "metrics.variation_of_information"
    ),
    "2 downloads 1 reads 1 uploads": (
        "metrics.DIU metrics.AdjustedRandIndex metrics.AverageSurfaceDistance metrics.ClDice metrics.Dice "
        "metrics.HausdorffDistance95 metrics.SurfaceDice losses.SkeletonRecallLoss "
        "losses.skeleton_recall_loss"
    ),
    "1 downloads 1 reads": (
        "topodl.SignedMeasures losses.MosinLoss losses.mosin_loss losses.scnp_logits losses.CEDiceLoss "
        "losses.ce_dice_loss losses.FadingLoss"
    ),
    "3 downloads 1 reads 1 uploads": (
        "losses.CriticalCEDiceLoss losses.critical_ce_dice_loss losses.critical_region_map "
        "losses.critical_region_weights losses.CavityLoss losses.cavity_loss"
    ),
    "3 reads": (
        "complexes.Lists representations.guide_codes representations.manifolds.Euclidean "
        "representations.manifolds.FlatTorus representations.manifolds.ProjectiveSpace "
        "representations.manifolds.Sphere"
    ),
    "1 downloads 1 uploads": (
        "topodl.cubical_persistence layers.CubicalPersistence metrics.betti_numbers "
        "filtrations.mutual_information filtrations.false_neighbours"
    ),
    "2 downloads 2 reads 1 uploads": (
        "metrics.BettiError metrics.BettiMatchingError metrics.ComponentScores "
        "metrics.VariationOfInformation losses.cka"
    ),
    "1 downloads 1 reads 1 uploads": (
        "layers.EulerSurface filtrations.signed_distance filtrations.dilation filtrations.erosion"
    ),
    "1 downloads 2 reads 1 sizes 1 uploads": (
        "layers.BettiCurve layers.Silhouette layers.SliceFeatures losses.TotalPersistenceLoss"
    ),
    "1 reads": (
        "layers.DelayEmbedding filtrations.binarise filtrations.delay_embedding filtrations.sliding_windows"
    ),
    "3 downloads 2 reads 3 uploads": (
        "losses.TopoGradLoss losses.TopoLoss losses.topo_grad_loss losses.topo_loss"
    ),
    "1 downloads 1 sizes": "topodl.Diagrams layers.DiagramScaler filtrations.neighbour_graph",
    "1 downloads 2 reads 1 sizes": "integrations.pyg.clouds layers.Amplitude layers.PaddedBars",
    "1 downloads 2 reads 2 sizes": "layers.PersistenceImage layers.BarSelector layers.LongestBars",
    "1 downloads 2 reads 2 uploads": "topodl.image_signed_measure layers.LevelPersistence filtrations.tilt",
    "1 downloads 4 uploads": "topodl.rips_persistence layers.RipsPersistence complexes.CellComplexes",
    "2 downloads 2 reads": "losses.cka_loss losses.CKALoss losses.DeepSupervisionLoss",
    "2 downloads 2 uploads": "topodl.alpha_persistence layers.AlphaPersistence complexes.hop_sets",
    "2 downloads 7 uploads": (
        "complexes.clique_complexes complexes.neighbourhood_complexes complexes.directed_flag_complexes"
    ),
    "2 reads": "attention.intrinsic_dimension attention.neighborhood_overlap filtrations.density",
    "6 downloads 2 sizes 1 uploads": (
        "distances.bottleneck_distance distances.distance_matrix distances.kernel_matrix"
    ),
    "1 downloads": "filtrations.codensity filtrations.degree_rips_values",
    "1 downloads 1 reads 1 sizes": "layers.PersLay layers.NumberOfBars",
    "1 downloads 2 reads 1 sizes, then 2 sizes": "layers.PersistenceEntropy layers.PersistenceStatistics",
    "2 downloads 1 reads 1 sizes 1 uploads": "losses.DMTLoss losses.dmt_loss",
    "2 downloads 1 reads 1 sizes 3 uploads": "losses.TopographLoss losses.topograph_loss",
    "2 downloads 1 reads 16 uploads": "losses.BettiMatchingLoss losses.betti_matching_loss",
    "2 downloads 1 reads 2 uploads": "losses.RegionWiseLoss losses.region_wise_loss",
    "2 downloads 1 reads 3 sizes": "filtrations.degree_values filtrations.forman_curvature",
    "2 downloads 3 reads 4 uploads": "representations.stitch representations.StitchedModel",
    "2 downloads 6 reads 4 uploads": (
        "losses.topological_autoencoder_loss losses.TopologicalAutoencoderLoss"
    ),
    "2 downloads 6 sizes 10 uploads": "attention.AttentionTopology attention.record",
    "3 downloads 1 reads 1 sizes 1 uploads": "losses.WarpingLoss losses.warping_loss",
    "3 downloads 1 sizes 1 uploads": "layers.DiagramDistances layers.DiagramKernel",
    "3 reads 2 uploads": "layers.Filtration filtrations.height",
    "4 downloads 2 reads 2 uploads": "topodl.rtd losses.RTDLoss",
    "4 downloads 3 reads 4 uploads": "losses.ClDiceLoss losses.cldice_loss",
    "5 downloads 1 reads 3 uploads": "losses.WindowedTopoLoss losses.windowed_topo_loss",
    "5 downloads 5 reads 8 sizes 2 uploads": "filtrations.closeness filtrations.eccentricity",
    "6 downloads 1 reads 6 uploads": "losses.CbDiceLoss losses.cbdice_loss",
    "": "representations.decision_regions",
    "1 downloads 1 reads 1 sizes 4 uploads": "losses.FeatureCountLoss",
    "1 downloads 1 reads 2 sizes": "layers.BarClamper",
    "1 downloads 12 reads 13 sizes 1 uploads": "topodl.IntervalModules",
    "1 downloads 18 uploads": "complexes.alpha_complexes",
    "1 downloads 2 reads 1 sizes 4 uploads": "topodl.attach",
    "1 downloads 2 reads 1 sizes, then 1 sizes": "layers.Atol",
    "1 downloads 2 reads 2 sizes 2 uploads": "losses.BettiTargetLoss",
    "1 downloads 3 reads 1 sizes": "layers.ComplexPolynomial",
    "1 downloads 3 reads 1 uploads": "topodl.level_persistence",
    "1 downloads 4 reads 1 sizes 1 uploads": "layers.PersistenceCurve",
    "1 downloads 5 uploads": "mapper.mapper_graph",
    "1 downloads 7 reads 1 uploads": "topodl.fibered_persistence",
    "1 downloads 7 reads 2 uploads": "layers.FiberedPersistence",
    "1 downloads 7 reads 4 uploads": "layers.HilbertSurface",
    "1 downloads 8 uploads": "complexes.rips_complexes",
    "1 reads 1 uploads": "layers.EulerCurve",
    "10 reads": "attention.HiddenStateGeometry",
    "11 downloads 3 reads 1 sizes 10 uploads": "distances.barycentre",
    "12 reads 3 sizes 2 uploads": "layers.EulerCharacteristicTransform",
    "2 downloads": "metrics.component_matches",
    "2 downloads 1 reads 4 sizes": "representations.GIN",
    "2 downloads 1 reads 5 sizes 7 uploads": "layers.CycleCliqueEncoding",
    "2 downloads 1 reads 7 uploads": "complexes.lift_features",
    "2 downloads 10 uploads": "complexes.ring_complexes",
    "2 downloads 2 reads 1 sizes 1 uploads": "layers.TopologicalVector",
    "2 downloads 3 reads": "representations.StitchingLayer",
    "2 downloads 3 reads 1 uploads": "filtrations.geodesic_distances",
    "2 downloads 3 reads 4 sizes 7 uploads": "layers.CellMessagePassing",
    "2 downloads 3 sizes 7 uploads": "layers.cycle_cliques",
    "2 downloads 3 uploads": "topodl.alpha_signed_measure",
    "2 downloads 4 uploads": "topodl.rips_signed_measure",
    "2 downloads 5 uploads": "topodl.degree_rips_signed_measure",
    "2 downloads 6 reads 6 uploads": "layers.SignedMeasureImage",
    "2 downloads 8 sizes 9 uploads": "integrations.pyg.cell_tensors",
    "2 downloads 8 uploads": "complexes.graph_rips_complexes",
    "2 reads 1 uploads": "filtrations.radial",
    "3 downloads": "topodl.TopologicalFeatures",
    "3 downloads 1 reads 2 uploads": "topodl.graph_signed_measure",
    "3 downloads 2 reads": "losses.MinibatchCKA",
    "3 downloads 2 reads 1 sizes 2 uploads": "layers.PersistenceLandscape",
    "3 downloads 2 reads 1 uploads": "losses.WeightedSumLoss",
    "3 downloads 2 reads 8 sizes": "filtrations.return_probabilities",
    "3 downloads 2 reads 8 sizes 1 uploads": "filtrations.heat_kernel_signature",
    "3 downloads 2 sizes 12 uploads": "layers.simplicial_walks",
    "3 downloads 3 reads": "losses.SCNP",
    "3 downloads 3 reads 2 sizes 2 uploads": "distances.sliced_wasserstein_distance",
    "3 downloads 4 reads 1 sizes 1 uploads": "attention.rtd",
    "3 downloads 4 reads 2 sizes 2 uploads": "plotting.plot_betti_curve",
    "3 reads 1 sizes": "representations.manifolds.SpecialOrthogonal3",
    "4 downloads 1 reads 2 uploads": "layers.GraphPersistence",
    "4 downloads 1 reads 6 sizes": "integrations.pyg.degree_graph",
    "4 downloads 1 sizes 12 uploads": "complexes.mesh_complexes",
    "4 downloads 1 sizes 7 uploads": "topodl.euler_signed_measure",
    "4 downloads 1 sizes 8 uploads": "topodl.complex_persistence",
    "4 downloads 2 reads 2 sizes 1 uploads": "plotting.plot_barcode",
    "4 downloads 2 reads 5 sizes 4 uploads, then 2 sizes": "layers.DiagramEncoder",
    "4 downloads 6 reads 4 sizes 2 uploads": "topodl.extended_parts",
    "5 downloads 1 reads 2 uploads": "topodl.graph_persistence",
    "5 downloads 1 reads 6 sizes 6 uploads": "filtrations.ollivier_curvature",
    "5 downloads 14 uploads": "complexes.numbering_dependent_cycles",
    "5 downloads 4 reads 2 sizes 7 uploads": "layers.MultiparameterLandscape",
    "5 downloads 4 reads 5 sizes 5 uploads": "layers.TOGL",
    "5 downloads 6 reads 9 sizes 22 uploads": "layers.SimplicialWalkConv",
    "6 downloads 1 reads 2 sizes 2 uploads": "distances.wasserstein_distance",
    "6 downloads 2 reads 2 sizes 1 uploads": "plotting.plot_diagram",
    "6 downloads 3 reads 4 sizes 5 uploads": "layers.RePHINE",
    "6 downloads 4 reads 2 sizes 6 uploads": "losses.DiagramTargetLoss",
    "6 downloads 5 reads 4 sizes 2 uploads": "filtrations.graph_geodesics",
    "6 downloads 5 sizes 2 uploads": "distances.optimal_matching",
    "7 downloads 6 sizes 25 uploads": "layers.HodgeEncoding",
    "8 downloads 7 reads 9 sizes 19 uploads": "layers.PersistentMessagePassing",
}
TRAFFIC = {name: traffic for traffic, names in _CALLS.items() for name in names.split()}


def counted(traffic: str) -> Counter[str]:
    """Return the numbers of "2 downloads 1 reads", or of one pass after the other."""
    words = traffic.replace(", then", "").split()
    counts: Counter[str] = Counter()
    for number, kind in zip(words[::2], words[1::2], strict=True):
        counts[kind] += int(number)
    return counts
