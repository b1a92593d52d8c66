// A CloudFront function (cloudfront-js-2.0, viewer request) in front of a bucket: folders get their page, as JSON for who
// takes JSON. It changes the path before the cache is asked, so that each form is cached under its own name.
// A response-headers policy adds `Vary: Accept`.
function handler(event) {
  var request = event.request;
  var accept = request.headers.accept ? request.headers.accept.value : '';
  var json = accept.split(',').some(function (range) {
    var parts = range.toLowerCase().split(';').map(function (part) { return part.trim(); });
    return /^application\/vnd\.pypi\.simple\.(v1|latest)\+json$/.test(parts[0])
      && !parts.slice(1).some(function (part) { return /^q=0(\.0*)?$/.test(part); });
  });
  if (/^\/simple\/([a-z0-9-]+\/)?$/.test(request.uri)) {
    request.uri += json ? 'index.v1_json' : 'index.html';
  } else if (/^\/(links|browse)\/$/.test(request.uri)) {
    request.uri += 'index.html';
  } else if (/^\/(simple|links|browse|simple\/[a-z0-9-]+)$/.test(request.uri)) {
    return { statusCode: 301, statusDescription: 'Moved Permanently', headers: { location: { value: request.uri + '/' } } };
  }
  return request;
}
