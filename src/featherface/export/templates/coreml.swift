// Faces in a picture, with Core ML on a Mac: swift @MODEL@.example.swift photo.jpg
// RGB 0-255 goes in, (1, 3, @HEIGHT@, @WIDTH@); normalisation is in the network.
// The file was converted and checked on Linux, and neither it nor this example has been run there.
import CoreGraphics
import CoreML
import Foundation
import ImageIO

let rows = @HEIGHT@, columns = @WIDTH@

struct Point { let x: Float, y: Float }
struct Face { let score: Float, x1: Float, y1: Float, x2: Float, y2: Float, points: [Point] }
struct Unreadable: Error { let path: String }

/// The picture shrunk to fit, padded right and below with RGB 123, 117, 104, and the factor that it was shrunk by.
func load(_ path: String) throws -> (images: MLMultiArray, shrink: Float) {
    guard let source = CGImageSourceCreateWithURL(URL(fileURLWithPath: path) as CFURL, nil),
          let picture = CGImageSourceCreateImageAtIndex(source, 0, nil),
          let space = CGColorSpace(name: CGColorSpace.sRGB),
          let canvas = CGContext(data: nil, width: columns, height: rows, bitsPerComponent: 8, bytesPerRow: 4 * columns,
                                 space: space, bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue),
          let data = canvas.data
    else { throw Unreadable(path: path) }
    let shrink = min(1, min(CGFloat(rows) / CGFloat(picture.height), CGFloat(columns) / CGFloat(picture.width)))
    let width = CGFloat(picture.width) * shrink, height = CGFloat(picture.height) * shrink
    canvas.setFillColor(CGColor(srgbRed: 123.0 / 255, green: 117.0 / 255, blue: 104.0 / 255, alpha: 1))
    canvas.fill(CGRect(x: 0, y: 0, width: CGFloat(columns), height: CGFloat(rows)))
    canvas.interpolationQuality = .high
    // Core Graphics counts rows from below; in memory the first row is the top one.
    canvas.draw(picture, in: CGRect(x: 0, y: CGFloat(rows) - height, width: width, height: height))

    let images = try MLMultiArray(shape: [1, 3, NSNumber(value: rows), NSNumber(value: columns)], dataType: .float32)
    let pixels = data.assumingMemoryBound(to: UInt8.self)
    let values = images.dataPointer.assumingMemoryBound(to: Float.self)
    let area = rows * columns
    for channel in 0..<3 {
        for i in 0..<area { values[channel * area + i] = Float(pixels[4 * i + channel]) }
    }
    return (images, Float(shrink))
}

/// Faces in the pixels of the network's input, best first.
func detect(_ network: MLModel, images: MLMultiArray) throws -> [Face] {
    let input = try MLDictionaryFeatureProvider(dictionary: ["images": images])
    let outputs = try network.prediction(from: input)
    func scalars(_ name: String) -> [Float] {
        MLShapedArray<Float>(converting: outputs.featureValue(for: name)!.multiArrayValue!).scalars
    }
    let scores = scalars("scores"), boxes = scalars("@BOXES@"), landmarks = scalars("@LANDMARKS@")
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

guard CommandLine.arguments.count == 2 else {
    print("\(CommandLine.arguments[0]): one picture that can be read")
    exit(1)
}
do {
    let network = try MLModel(contentsOf: MLModel.compileModel(at: URL(fileURLWithPath: "@MODEL@")))
    let (images, shrink) = try load(CommandLine.arguments[1])
    for face in try detect(network, images: images) {
        // In the pixels of the picture as it came.
        let box = [face.x1, face.y1, face.x2, face.y2].map { $0 / shrink }
        let points = face.points.map { [$0.x / shrink, $0.y / shrink] }
        print(face.score, box, points)
    }
} catch {
    print("\(CommandLine.arguments[1]): \(error)")
    exit(1)
}
