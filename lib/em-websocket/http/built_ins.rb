# frozen_string_literal: true

require_relative "routes"

module EventMachine
  module WebSocket
    # The responses that are this library's own: `:health`, `:metrics`, `:stats` and `:live`.
    #
    # @api private
    module BuiltIns
      # Fields that a proxy adds: its clients all have its own address.
      FORWARDED = %w[forwarded x-forwarded-for x-real-ip via].freeze

      # Nothing that a page of another site may show, or a cache keep.
      HEADERS = { "Cache-Control" => "no-store", "X-Content-Type-Options" => "nosniff" }.freeze

      # Content security policy of the page: it may load nothing but itself.
      POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; " \
               "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; " \
               "frame-ancestors 'none'"
      private_constant :FORWARDED, :HEADERS, :POLICY

      class << self
        # @param entry [BuiltIn]
        # @param request [HttpRequest]
        # @param response [HttpResponse]
        # @param server [BackgroundServer]
        def answer(entry, request, response, server)
          response.headers.update(HEADERS)
          return refuse(response, 403, "Forbidden") unless seen_by?(entry.networks, request)

          unless %w[GET HEAD].include?(request.request_method)
            response.headers["Allow"] = "GET, HEAD"
            return refuse(response, 405, "Method Not Allowed")
          end
          __send__(entry.name, request, response, server)
        end

        private

        def refuse(response, status, body)
          response.status = status
          response.body = body
        end

        def seen_by?(networks, request)
          return true if networks == :anyone
          # By a Unix-domain socket, and nobody says who: it may be anybody, behind a proxy.
          return false unless request.remote_ip

          (direct?(request) || request.forwarded?) && !made_up_name?(request) &&
            networks.any? { |network| network.include?(request.remote_ip) }
        end

        def direct?(request)
          FORWARDED.none? { |name| request.headers_downcased.key?(name) }
        end

        # By a name of its own choice for this machine, any page on the web can have a browser that
        # runs here ask it.
        def made_up_name?(request)
          return false unless IPAddr.new(request.remote_ip).loopback?

          host = request.headers_downcased["host"].to_s.sub(/:\d*\z/, "")
          !host.match?(/\A(?:\[[\h:.]+\]|\d+\.\d+\.\d+\.\d+|(?:[a-z\d-]+\.)*localhost)\z/i)
        end

        def health(_request, response, server)
          response.body = "OK"
          refuse(response, 503, "Shutting down") if server.draining?
        end

        def metrics(_request, response, _server)
          response.headers["Content-Type"] = METRICS_TYPE
          response.body = WebSocket.metrics
        end

        def stats(_request, response, _server)
          require "json"
          response.headers["Content-Type"] = "application/json"
          response.body = JSON.generate(WebSocket.stats || {})
        end

        # The page, and beside it, with `?stats`, what it shows.
        def live(request, response, server)
          return stats(request, response, server) if request.query_string == "stats"

          response.headers["Content-Type"] = "text/html; charset=utf-8"
          response.headers["Content-Security-Policy"] = POLICY
          response.body = page
        end

        def page
          @page ||= File.read(File.join(__dir__, "live.html"), encoding: Encoding::UTF_8).freeze
        end
      end
    end
  end
end
