# frozen_string_literal: true

module EventMachine
  module WebSocket
    # The extension's shared library, and where it is.
    #
    # @api private
    module Extension
      # Versions of Ruby that a gem was built for beforehand have a directory each.
      VERSION = /\A\d+\.\d+\z/
      ANOTHER_GEM = "The gem that is built where it is installed, with Rust, a C compiler and " \
                    "libclang: gem install em-websocket-rs --platform ruby; in a Gemfile: " \
                    'gem "em-websocket-rs", force_ruby_platform: true'
      NOT_BUILT = "em-websocket-rs: the extension is not built for ruby #{RUBY_VERSION}: run " \
                  "`rake compile` in a checkout, `gem pristine em-websocket-rs` for an installed " \
                  "gem".freeze
      private_constant :VERSION, :ANOTHER_GEM, :NOT_BUILT

      # Loads it.
      #
      # @param directory [String] where the library, or the directories of versions, are
      # @raise [LoadError] where there is none for this Ruby, or this system cannot load it
      def self.load(directory)
        versions = Dir.children(directory).grep(VERSION).sort_by { |name| Gem::Version.new(name) }
        return load_built_here(directory) if versions.empty?

        version = RUBY_VERSION[/\A\d+\.\d+/]
        return load_built_beforehand(File.join(directory, version)) if versions.include?(version)

        raise LoadError, "this em-websocket-rs is for Ruby #{versions.join(", ")}, and not for " \
                         "#{version}. #{ANOTHER_GEM}"
      end

      # Beside the other files in a working tree and in an installed gem; some versions of RubyGems
      # keep it in a directory of the load path that is for extensions alone.
      def self.load_built_here(directory)
        require File.join(directory, "em_websocket_rs")
      rescue LoadError
        begin
          require "em-websocket/em_websocket_rs"
        rescue LoadError => e
          raise unless e.path == "em-websocket/em_websocket_rs"

          raise LoadError, NOT_BUILT
        end
      end

      def self.load_built_beforehand(directory)
        require File.join(directory, "em_websocket_rs")
      rescue LoadError => e
        raise LoadError, "#{e.message}: this em-websocket-rs is for glibc 2.17 or newer, on the " \
                         "processor that its name says. #{ANOTHER_GEM}"
      end
      private_class_method :load_built_here, :load_built_beforehand
    end
    private_constant :Extension
  end
end
