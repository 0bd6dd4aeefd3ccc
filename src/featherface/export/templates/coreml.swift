// Faces in a picture, with Core ML. RGB 0-255 goes in, (1, 3, @HEIGHT@, @WIDTH@); normalisation is in the network.
// Shrink a picture that is larger, and pad it right and below with RGB 123, 117, 104; boxes come out in the pixels
// of that input, so divide them by the factor that the picture was shrunk by. Converted and checked on Linux, not run there.
import CoreML
import Foundation

let rows = @HEIGHT@, columns = @WIDTH@

struct Face { let score: Float, x1: Float, y1: Float, x2: Float, y2: Float }

func detect(_ network: MLModel, images: MLMultiArray) throws -> [Face] {
    let input = try MLDictionaryFeatureProvider(dictionary: ["images": images])
    let outputs = try network.prediction(from: input)
    let scores = MLShapedArray<Float>(outputs.featureValue(for: "scores")!.multiArrayValue!).scalars
    let boxes = MLShapedArray<Float>(outputs.featureValue(for: "@BOXES@")!.multiArrayValue!).scalars
    var faces: [Face] = []
@DECODE@
    var kept: [Face] = []
    for face in faces.sorted(by: { $0.score > $1.score }) where !kept.contains(where: { overlap(face, $0) > @IOU@ }) {
        kept.append(face)
    }
    return kept
}

func overlap(_ a: Face, _ b: Face) -> Float {
    let both = max(0, min(a.x2, b.x2) - max(a.x1, b.x1)) * max(0, min(a.y2, b.y2) - max(a.y1, b.y1))
    return both / ((a.x2 - a.x1) * (a.y2 - a.y1) + (b.x2 - b.x1) * (b.y2 - b.y1) - both)
}

let compiled = try MLModel.compileModel(at: URL(fileURLWithPath: "@MODEL@"))
let network = try MLModel(contentsOf: compiled)
