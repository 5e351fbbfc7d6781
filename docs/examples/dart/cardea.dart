// A session of Cardea's API v1 from Dart or Flutter: pictures in, prompts and a verdict out. Only dart:io, no packages.
//
//   final cardea = Cardea(Uri.parse('https://door.local:8443'), certificate: 'web-cert.pem', token: token);
//   final result = await cardea.run(pictures, goal: 'identify', onMessage: print);
//
// `pictures` is a stream of JPEG bytes, two to ten a second, never mirrored; from Flutter's camera plugin for example
// `Stream.periodic(...).asyncMap((_) async => (await controller.takePicture()).readAsBytes())`.
import 'dart:async';
import 'dart:convert';
import 'dart:io';
import 'dart:typed_data';

class Refused implements Exception {
  Refused(Map<String, dynamic> problem)
      : code = '${problem['code']}',
        detail = '${problem['detail']}';
  final String code;
  final String detail;
  @override
  String toString() => '$code: $detail';
}

class Cardea {
  Cardea(this.url, {String? certificate, this.token}) {
    // The terminal's certificate is its own: trust this file and nothing else.
    final context = SecurityContext(withTrustedRoots: certificate == null);
    if (certificate != null) context.setTrustedCertificates(certificate);
    _http = HttpClient(context: context);
  }

  final Uri url;
  final String? token;
  late final HttpClient _http;

  Future<Map<String, dynamic>?> post(String path, Object body, {String kind = 'application/json'}) async {
    final request = await _http.postUrl(url.resolve(path));
    request.headers.set(HttpHeaders.contentTypeHeader, kind);
    if (token != null) request.headers.set(HttpHeaders.authorizationHeader, 'Bearer $token');
    request.add(body is Uint8List ? body : utf8.encode(jsonEncode(body)));
    final answer = await request.close();
    final text = await answer.transform(utf8.decoder).join();
    final parsed = text.isEmpty ? null : jsonDecode(text) as Map<String, dynamic>;
    if (answer.statusCode >= 400) throw Refused(parsed ?? {'code': answer.statusCode, 'detail': answer.reasonPhrase});
    return parsed;
  }

  /// One session. Its result: {"verdict": "granted|denied|try_again", "token"?, "advice"?}.
  Future<Map<String, dynamic>> run(
    Stream<Uint8List> pictures, {
    String goal = 'identify',
    String? person,
    Uint8List? target,
    void Function(Map<String, dynamic>)? onMessage,
  }) async {
    final session = (await post('/api/v1/sessions', {'goal': goal, if (person != null) 'person': person}))!;
    if (target != null) await post('/api/v1/sessions/${session['id']}/target', target, kind: 'image/jpeg');
    final scheme = url.scheme == 'https' ? 'wss' : 'ws';
    final address = url.replace(scheme: scheme, path: session['ws'] as String);
    final socket = await WebSocket.connect('$address', customClient: _http);
    final sending = pictures.listen((picture) {
      if (socket.readyState == WebSocket.open) socket.add(picture);
    });
    var result = <String, dynamic>{'verdict': 'try_again', 'advice': 'connection'};
    await for (final text in socket) {
      final said = jsonDecode(text as String) as Map<String, dynamic>;
      onMessage?.call(said);
      if (said['type'] == 'result') result = said;
    }
    await sending.cancel();
    await socket.close();
    return result;
  }

  /// What a token says; only the first time. For your server, with a token of the role operator.
  Future<Map<String, dynamic>> redeem(String token) async =>
      (await post('/api/v1/tokens/introspect', {'token': token}))!;
}
